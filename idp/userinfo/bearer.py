"""The bearer token of a request: in the Authorization header, and nowhere else.  Spec: RFC 6750 s2, s3.1."""

import re
from collections.abc import Sequence

from idp.oauth.errors import BearerInvalidRequest, InvalidToken, TokenMissing

_B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_MAX_TOKEN = 512


def parse_bearer(authorization: Sequence[str], *, elsewhere: bool) -> str:
    """The untrusted token.

    authorization: every header of that name. elsewhere: an `access_token` was also, or only, sent in query or body.
    Raises: TokenMissing, BearerInvalidRequest, InvalidToken.
    """
    if elsewhere:
        raise BearerInvalidRequest("the access token belongs in the Authorization header alone")
    if not authorization:
        raise TokenMissing
    if len(authorization) > 1:
        raise BearerInvalidRequest("more than one Authorization header")
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer":
        raise TokenMissing(detail="another scheme")
    token = token.strip(" ")
    if not _B64TOKEN.fullmatch(token):
        raise BearerInvalidRequest("malformed bearer token")
    if len(token) > _MAX_TOKEN:
        raise InvalidToken("the access token is unknown, expired or revoked")
    return token
