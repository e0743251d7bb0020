"""Proof Key for Code Exchange, S256 alone (RFC 7636, as RFC 9700 s2.1.1 tightens it)."""

import hmac
import re
from base64 import urlsafe_b64encode
from hashlib import sha256

from idp.oauth.errors import InvalidGrant, InvalidRequest

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def verify_code_challenge_syntax(challenge: str) -> None:
    """Accept iff it can be BASE64URL(SHA-256(...)): 43 characters. Raises: InvalidRequest."""
    if not _CHALLENGE.fullmatch(challenge):
        raise InvalidRequest("code_challenge must be 43 characters of base64url")


def verify_code_verifier_syntax(verifier: str) -> None:
    """Accept iff it has 43 to 128 unreserved characters. Raises: InvalidGrant.  Spec: RFC 7636 s4.1."""
    if not _VERIFIER.fullmatch(verifier):
        raise InvalidGrant("code_verifier must be 43 to 128 unreserved characters")


def verify_code_challenge(verifier: str, challenge: str) -> None:
    """Accept iff BASE64URL(SHA-256(verifier)) equals challenge, in constant time.

    verifier: untrusted, its syntax checked before. Raises: InvalidGrant.  Spec: RFC 7636 s4.6.
    """
    digest = urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=")
    if not hmac.compare_digest(digest, challenge.encode("ascii")):
        raise InvalidGrant("code_verifier does not match")
