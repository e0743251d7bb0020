"""Token keys from a key store."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from ca_core.kernel.errors import ConfigurationError
from ca_core.keys.errors import KeyExists, KeyNotFound
from ca_core.keys.model import KeyAlgorithm, PrivateKey
from ca_core.keys.ports import KeyStore
from idp.provider_keys.service import PublicKey, TokenKeys

ES256_LABEL = "token-es256"
RS256_LABEL = "token-rs256"


def load_token_keys(key_store: KeyStore, *, retired: Sequence[PublicKey] = ()) -> TokenKeys:
    """The token keys that the store holds. Raises: KeyNotFound, ConfigurationError."""
    return _token_keys(key_store.private_key(ES256_LABEL), key_store.private_key(RS256_LABEL), retired)


def make_token_keys(key_store: KeyStore) -> TokenKeys:
    """The token keys, made where they are missing. For the first start of an embedded provider and for ceremonies."""
    return _token_keys(
        _ensure(key_store, ES256_LABEL, KeyAlgorithm.P_256), _ensure(key_store, RS256_LABEL, KeyAlgorithm.RSA_2048), ()
    )


def make_provider_keys(key_store: KeyStore, statement_key_label: str) -> None:
    """The token keys and the key that signs statements, made where they are missing."""
    make_token_keys(key_store)
    _ensure(key_store, statement_key_label, KeyAlgorithm.P_256)


def _ensure(key_store: KeyStore, label: str, algorithm: KeyAlgorithm) -> PrivateKey:
    try:
        return key_store.private_key(label)
    except KeyNotFound:
        try:
            return key_store.generate(label, algorithm)
        except KeyExists:
            return key_store.private_key(label)


def _token_keys(es256: PrivateKey, rs256: PrivateKey, retired: Sequence[PublicKey]) -> TokenKeys:
    if not isinstance(es256, EllipticCurvePrivateKey) or not isinstance(rs256, RSAPrivateKey):
        raise ConfigurationError(f"{ES256_LABEL} must be a P-256 key and {RS256_LABEL} an RSA key")
    return TokenKeys(es256, rs256, retired=retired)
