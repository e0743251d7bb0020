"""The provider's statement keys as JOSE keys."""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from ca_core.kernel.errors import ConfigurationError
from ca_core.statement.wire import verify_kid


class StatementKeys:
    """The public keys that a verifier accepts statements from, by `kid`. Parsed once, then only looked up."""

    __slots__ = ("_keys",)

    def __init__(self, public_keys: Mapping[str, EllipticCurvePublicKey]) -> None:
        """public_keys: P-256, by `kid`, at least one. Raises: ConfigurationError."""
        if not public_keys:
            raise ConfigurationError("no statement key")
        self._keys: dict[str, ECKey] = {}
        for kid, public_key in public_keys.items():
            verify_kid(kid)
            _require_p256(public_key)
            self._keys[kid] = ECKey.import_key(public_key, {"kid": kid, "use": "sig", "alg": "ES256"})

    @classmethod
    def from_jwks(cls, jwks: Mapping[str, Any]) -> "StatementKeys":
        """The ES256 keys of a JWK set {"keys": [...]}; keys of other types or uses are passed over.

        Raises: ConfigurationError, where none is left or one is broken.
        """
        found: dict[str, EllipticCurvePublicKey] = {}
        for jwk in jwks.get("keys", ()):
            if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or jwk.get("use", "sig") != "sig":
                continue
            if jwk.get("alg", "ES256") != "ES256" or "d" in jwk:
                continue
            try:
                found[jwk["kid"]] = ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y")}).public_key
            except (JoseError, KeyError, ValueError, TypeError) as error:
                raise ConfigurationError("a broken key in the JWK set") from error
        return cls(found)

    def get(self, kid: str) -> ECKey | None:
        return self._keys.get(kid)

    def to_jwks(self) -> dict[str, Any]:
        """The JWK set that a bridge pins."""
        return {"keys": [key.as_dict(private=False) for key in self._keys.values()]}


def jose_signing_key(private_key: EllipticCurvePrivateKey, kid: str) -> ECKey:
    """A JOSE key that signs with the given private key, which may live in an HSM.

    joserfc reads a key's parameters from its dictionary form, and would export a private key to make it; given the
    public dictionary, it never does. Raises: ConfigurationError, StatementMalformed (kid).
    """
    verify_kid(kid)
    public_key = private_key.public_key()
    _require_p256(public_key)
    public = ECKey.import_key(public_key, {"kid": kid, "use": "sig", "alg": "ES256"}).as_dict(private=False)
    return ECKey(private_key, public)


def _require_p256(public_key: EllipticCurvePublicKey) -> None:
    if not isinstance(public_key, EllipticCurvePublicKey) or not isinstance(public_key.curve, SECP256R1):
        raise ConfigurationError("a statement key must be a P-256 key")
