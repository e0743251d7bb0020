"""The little of JOSE that a statement needs: canonical base64url, strict JSON, P-256 keys, ES256."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
MAX_JSON_DEPTH = 8


def parse_base64url(text: str) -> bytes:
    """The octets, if `text` is their one spelling without padding. Raises: ValueError."""
    if not _BASE64URL.fullmatch(text):
        raise ValueError("not base64url")
    octets = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if urlsafe_b64encode(octets).rstrip(b"=").decode("ascii") != text:
        raise ValueError("unused bits are set")
    return octets


def parse_json_object(octets: bytes) -> dict[str, object]:
    """A JSON object from untrusted octets: UTF-8, no repeated member, no NaN, not deep. Raises: ValueError."""
    depth = 0
    for octet in octets:
        if octet in b"[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise ValueError("too deep")
        elif octet in b"]}":
            depth -= 1
    try:
        value = json.loads(octets.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def parse_public_jwk(jwk: Mapping[str, object]) -> tuple[str, ec.EllipticCurvePublicKey]:
    """(kid, key) of a public P-256 key for ES256 (RFC 7517, RFC 7518 s6.2). Raises: ValueError."""
    kid = jwk.get("kid")
    if jwk.keys() & {"d", "k", "p", "q"}:
        raise ValueError("a private key has no place in a list of pinned keys")
    if not isinstance(kid, str) or not 0 < len(kid) <= 128:
        raise ValueError("no kid")
    if (jwk.get("kty"), jwk.get("crv")) != ("EC", "P-256"):
        raise ValueError("not an EC key on P-256")
    if jwk.get("alg", "ES256") != "ES256" or jwk.get("use", "sig") != "sig":
        raise ValueError("not a key for ES256 signatures")
    x, y = (_coordinate(jwk.get(member)) for member in ("x", "y"))
    return kid, ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()  # raises unless on the curve


def verify_es256(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> None:
    """Accept iff `signature` is raw r||s over SHA-256 of `message` (RFC 7518 s3.4). Raises: InvalidSignature."""
    if len(signature) != 64:
        raise InvalidSignature
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))


def _coordinate(value: object) -> int:
    octets = parse_base64url(value) if isinstance(value, str) else b""
    if len(octets) != 32:
        raise ValueError("a coordinate is not 32 octets")
    return int.from_bytes(octets, "big")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
