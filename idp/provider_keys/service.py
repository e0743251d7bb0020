"""Token keys: one ES256 and one RS256 key that sign now, and public keys of earlier ones that still verify."""

from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from ca_core.kernel.errors import ConfigurationError
from idp.oauth.algorithms import SigningAlgorithm
from idp.provider_keys.errors import NotOurToken

PublicKey = EllipticCurvePublicKey | RSAPublicKey
MAX_TOKEN = 16_384
_MIN_RSA_BITS = 2_048
_ALGORITHMS = [algorithm.value for algorithm in SigningAlgorithm]


class TokenKeys:
    """Signs and recognises ID tokens.

    retired: public keys that no longer sign; they stay in the JWKS until every token they signed has expired, and in
    here for as long as ID token hints signed by them are to be understood. A statement key never goes in here.
    """

    def __init__(
        self, es256: EllipticCurvePrivateKey, rs256: RSAPrivateKey, *, retired: Sequence[PublicKey] = ()
    ) -> None:
        ec_public, rsa_public = _public_key(es256.public_key()), _public_key(rs256.public_key())
        # The private key beside its public dictionary: joserfc then never exports it, so it may live in an HSM.
        self._signing: dict[SigningAlgorithm, ECKey | RSAKey] = {
            SigningAlgorithm.ES256: ECKey(es256, ec_public.as_dict(private=False)),
            SigningAlgorithm.RS256: RSAKey(rs256, rsa_public.as_dict(private=False)),
        }
        self._headers: dict[SigningAlgorithm, dict[str, Any]] = {
            algorithm: {"alg": algorithm.value, "kid": key.kid, "typ": "JWT"}
            for algorithm, key in self._signing.items()
        }
        self._published = [ec_public, rsa_public, *(_public_key(key) for key in retired)]
        self._verifying = KeySet(list(self._published))

    def sign(self, claims: Mapping[str, Any], algorithm: SigningAlgorithm) -> str:
        """A compact JWS over the claims, by the key that signs now."""
        return jwt.encode(self._headers[algorithm], dict(claims), self._signing[algorithm], algorithms=_ALGORITHMS)

    def verify(self, unverified_token: str) -> dict[str, Any]:
        """The claims of a token that one of these keys signed. Only the signature is checked: no time, no audience.

        Raises: NotOurToken.
        """
        if len(unverified_token) > MAX_TOKEN:
            raise NotOurToken("too long")
        try:
            token = jwt.decode(unverified_token, self._verifying, algorithms=_ALGORITHMS)
        except (JoseError, ValueError) as error:
            raise NotOurToken(type(error).__name__) from error
        return token.claims

    def jwks(self, *more: EllipticCurvePublicKey) -> dict[str, Any]:
        """The JWK set: these keys and further public ones, such as the statement key."""
        keys = [*self._published, *(_public_key(key) for key in more)]
        return {"keys": [key.as_dict(private=False) for key in keys]}


def key_id(public_key: PublicKey) -> str:
    """The `kid` of a key wherever this provider names it: its RFC 7638 thumbprint."""
    if isinstance(public_key, EllipticCurvePublicKey):
        return ECKey.import_key(public_key).thumbprint()
    return RSAKey.import_key(public_key).thumbprint()


def _public_key(public_key: PublicKey) -> ECKey | RSAKey:
    if isinstance(public_key, EllipticCurvePublicKey):
        if not isinstance(public_key.curve, SECP256R1):
            raise ConfigurationError("an ES256 key must be a P-256 key")
        return ECKey.import_key(
            public_key, {"kid": key_id(public_key), "use": "sig", "alg": SigningAlgorithm.ES256.value}
        )
    if public_key.key_size < _MIN_RSA_BITS:
        raise ConfigurationError(f"an RS256 key needs {_MIN_RSA_BITS} bits or more")
    return RSAKey.import_key(public_key, {"kid": key_id(public_key), "use": "sig", "alg": SigningAlgorithm.RS256.value})
