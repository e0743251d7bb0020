"""Token keys: one ES256 and one RS256 key that sign now, and public keys of earlier ones that still verify."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
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
_ECDSA, _PKCS1, _SHA256 = ECDSA(SHA256()), PKCS1v15(), SHA256()
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class TokenKeys:
    """Signs and recognises ID tokens.

    retired: public keys that no longer sign; they stay in the JWKS until every token they signed has expired, and in
    here for as long as ID token hints signed by them are to be understood. A statement key never goes in here.
    """

    def __init__(
        self, es256: EllipticCurvePrivateKey, rs256: RSAPrivateKey, *, retired: Sequence[PublicKey] = ()
    ) -> None:
        ec_public, rsa_public = _public_key(es256.public_key()), _public_key(rs256.public_key())
        self._es256, self._rs256 = es256, rs256
        public = {SigningAlgorithm.ES256: ec_public, SigningAlgorithm.RS256: rsa_public}
        self._headers: dict[SigningAlgorithm, str] = {
            algorithm: _base64url(_encode({"alg": algorithm.value, "kid": key.kid, "typ": "JWT"}).encode("ascii"))
            for algorithm, key in public.items()
        }
        self._published = [ec_public, rsa_public, *(_public_key(key) for key in retired)]
        self._verifying = KeySet(list(self._published))

    def sign(self, claims: Mapping[str, Any], algorithm: SigningAlgorithm) -> str:
        """A compact JWS over the claims, by the key that signs now.  Spec: RFC 7515 s5.1, RFC 7518 s3.3, s3.4.

        The header of a key never varies, so it is serialised once. The key may live in an HSM.
        """
        signed = f"{self._headers[algorithm]}.{_base64url(_encode(claims).encode('ascii'))}"
        octets = signed.encode("ascii")
        if algorithm is SigningAlgorithm.ES256:
            r, s = decode_dss_signature(self._es256.sign(octets, _ECDSA))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        else:
            signature = self._rs256.sign(octets, _PKCS1, _SHA256)
        return f"{signed}.{_base64url(signature)}"

    def verify(self, unverified_token: str) -> dict[str, Any]:
        """The claims of a token that one of these keys signed. Only the signature is checked: no time, no audience.

        Raises: NotOurToken.
        """
        if len(unverified_token) > MAX_TOKEN:
            raise NotOurToken("too long")
        try:
            token = jwt.decode(unverified_token, self._verifying, algorithms=_ALGORITHMS)
        except (JoseError, ValueError, TypeError, RecursionError) as error:  # a header's members may be of any type
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


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


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
