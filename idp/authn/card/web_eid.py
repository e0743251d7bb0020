"""The Web eID authentication token, format 1: parsing what a browser sent, and the signature in it.

Origin and challenge are not in the token. The verifier puts them together from its own configuration and its own
record, so that a token lifted from another site or session cannot pass.
Spec: Web eID system architecture, "Authentication token format" and "Token signature".
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256, sha384
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm

from idp.authn.card.errors import TokenAlgorithmMismatch, TokenBindingMismatch, TokenMalformed

MAX_TOKEN_BYTES: Final = 10_000
"""The token as JSON text, by the specification; its least, 100, follows from the members that there must be."""
MAX_CERTIFICATE_BYTES: Final = 6_000
MAX_SIGNATURE_BYTES: Final = 1_024
_FORMAT: Final = re.compile(r"web-eid:1(?:\.[0-9]{1,3})?")
_APP_VERSION: Final = re.compile(r"[\x20-\x7e]{0,255}")
_MIN_RSA_BITS: Final = 2_048
_MAX_RSA_BITS: Final = 8_192


class TokenAlgorithm(StrEnum):
    """JWA names. What is not here is refused, whatever the key; there is no `none`."""

    ES256 = "ES256"
    ES384 = "ES384"
    RS256 = "RS256"
    PS256 = "PS256"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedToken:
    """A token that is well-formed and proves nothing yet.

    unverified_certificate: octets that claim to be a DER certificate. signature: raw r||s, or an RSA signature.
    """

    unverified_certificate: bytes
    algorithm: TokenAlgorithm
    signature: bytes
    app_version: str


def parse_token(members: Mapping[str, object]) -> UnverifiedToken:
    """The token from a JSON object's members. Members that format 1 does not know are passed over.

    Raises: TokenMalformed.
    """
    if not _FORMAT.fullmatch(_text(members, "format")):
        raise TokenMalformed("format")
    app_version = _text(members, "appVersion")
    if not _APP_VERSION.fullmatch(app_version):
        raise TokenMalformed("appVersion")
    try:
        algorithm = TokenAlgorithm(_text(members, "algorithm"))
    except ValueError as error:
        raise TokenMalformed("algorithm") from error
    return UnverifiedToken(
        unverified_certificate=_octets(members, "unverifiedCertificate", MAX_CERTIFICATE_BYTES),
        algorithm=algorithm,
        signature=_octets(members, "signature", MAX_SIGNATURE_BYTES),
        app_version=app_version,
    )


def verify_signature(token: UnverifiedToken, public_key: object, *, origin: str, challenge_nonce: str) -> None:
    """Accept iff the key signed hash(origin) || hash(challenge_nonce) by the token's algorithm.

    public_key: of the certificate, already validated. challenge_nonce: its text, as it was sent to the browser.
    Raises: TokenAlgorithmMismatch, TokenBindingMismatch.
    """
    match token.algorithm:
        case TokenAlgorithm.ES256:
            _verify_ecdsa(token, public_key, ec.SECP256R1, SHA256(), _signed_octets(_sha256, origin, challenge_nonce))
        case TokenAlgorithm.ES384:
            _verify_ecdsa(token, public_key, ec.SECP384R1, SHA384(), _signed_octets(_sha384, origin, challenge_nonce))
        case TokenAlgorithm.RS256:
            _verify_rsa(token, public_key, padding.PKCS1v15(), _signed_octets(_sha256, origin, challenge_nonce))
        case TokenAlgorithm.PS256:
            pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
            _verify_rsa(token, public_key, pss, _signed_octets(_sha256, origin, challenge_nonce))


def _signed_octets(digest: Callable[[bytes], bytes], origin: str, challenge_nonce: str) -> bytes:
    return digest(origin.encode("utf-8")) + digest(challenge_nonce.encode("ascii"))


def _sha256(octets: bytes) -> bytes:
    return sha256(octets).digest()


def _sha384(octets: bytes) -> bytes:
    return sha384(octets).digest()


def _verify_ecdsa(
    token: UnverifiedToken, public_key: object, curve: type[ec.EllipticCurve], hash_: HashAlgorithm, signed: bytes
) -> None:
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(public_key.curve, curve):
        raise TokenAlgorithmMismatch(f"{token.algorithm} needs a key on {curve.name}")
    size = public_key.curve.key_size // 8
    if len(token.signature) != 2 * size:
        raise TokenBindingMismatch("not a raw r||s of this curve")
    r, s = (int.from_bytes(half, "big") for half in (token.signature[:size], token.signature[size:]))
    try:
        public_key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hash_))
    except (InvalidSignature, ValueError) as error:
        raise TokenBindingMismatch from error


def _verify_rsa(
    token: UnverifiedToken, public_key: object, scheme: padding.PKCS1v15 | padding.PSS, signed: bytes
) -> None:
    if not isinstance(public_key, rsa.RSAPublicKey) or not _MIN_RSA_BITS <= public_key.key_size <= _MAX_RSA_BITS:
        raise TokenAlgorithmMismatch(f"{token.algorithm} needs an RSA key of {_MIN_RSA_BITS} bits or more")
    try:
        public_key.verify(token.signature, signed, scheme, SHA256())
    except (InvalidSignature, ValueError) as error:
        raise TokenBindingMismatch from error


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise TokenMalformed(f"{name} is missing or no text")
    return value


def _octets(members: Mapping[str, object], name: str, limit: int) -> bytes:
    """Standard base64 in its one canonical spelling: padded, no white space, no stray bits at the end."""
    text = _text(members, name)
    if not text or len(text) > limit * 4 // 3 + 4:
        raise TokenMalformed(f"{name} is empty or too long")
    try:
        octets = b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, Base64Error) as error:
        raise TokenMalformed(f"{name} is not base64") from error
    if b64encode(octets).decode("ascii") != text:
        raise TokenMalformed(f"{name} is not canonical base64")
    return octets
