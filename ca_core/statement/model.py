"""The statement: the one thing a citizen signs. Pure; a `Statement` that exists obeys the grammar.

The grammar in words, and the vectors that hold every implementation to it: tests/vectors/statement/README.md.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from ca_core.statement.errors import StatementMalformed

MAX_COMPACT_BYTES: Final = 4096
MAX_LIFETIME_S: Final = 600
MAX_CLAIMS: Final = 40
MAX_DOCUMENTS: Final = 10
MAX_NAME: Final = 100
MAX_PURPOSE: Final = 200
MAX_TIME: Final = 253_402_300_799  # the last second of the year 9999

_HOST = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
_PORT = r"(?::[1-9][0-9]{0,4})?"
_ORIGIN = rf"(?:https://{_HOST}{_PORT}|http://(?:localhost|127\.0\.0\.1|\[::1\]){_PORT})"
_URL = re.compile(rf"{_ORIGIN}(?:/[A-Za-z0-9._~-]+)*")
_ORIGIN_ONLY = re.compile(_ORIGIN)
_DEFAULT_PORT = re.compile(r"https://[^/]*:443(?:/.*)?|http://[^/]*:80(?:/.*)?", re.DOTALL)
_TOKEN_256 = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""256 bits as base64url: the last character carries four bits, so its two low bits are zero."""
_CLIENT_ID = re.compile(r"[!#-\[\]-~]{1,100}")
_ACR = re.compile(r"[!#-\[\]-~]{1,100}")
_CLAIM = re.compile(r"[A-Za-z0-9_.:/#-]{1,64}")
_SHA256_HEX = re.compile(r"[0-9a-f]{64}")
_UNSHOWABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\uf8ff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
"""Controls, line breaks, invisible, direction-changing and private characters, surrogates: a name must not mislead.

A list of ranges, not of Unicode categories: an unassigned character may be a rare character's, of a later Unicode than
this interpreter's, and every implementation must say the same of it.
"""


class Flow(StrEnum):
    """The way by which the statement reaches the citizen's key."""

    CARD = "card"
    PHONE_QR = "phone-qr"
    PHONE_LINK = "phone-link"
    PHONE_PUSH = "phone-push"
    PASSKEY = "passkey"
    SIGN = "sign"
    DECRYPT = "decrypt"
    ENROL = "enrol"
    PASSKEY_REGISTER = "passkey-register"


LIFETIMES_S: Final = MappingProxyType(
    {
        Flow.CARD: 60,
        Flow.PHONE_QR: 60,
        Flow.PHONE_LINK: 60,
        Flow.PHONE_PUSH: 60,
        Flow.PASSKEY: 60,
        Flow.SIGN: 300,
        Flow.DECRYPT: 300,
        Flow.ENROL: 300,
        Flow.PASSKEY_REGISTER: 300,
    }
)
"""How long a statement of each flow may be redeemed."""

_WITH_DOCUMENTS: Final = frozenset({Flow.SIGN, Flow.DECRYPT})


@dataclass(frozen=True, slots=True)
class LocalText:
    """A text that a person sees, in both languages. On the wire: {"zh-TW": ..., "en": ...}."""

    zh_tw: str
    en: str

    def in_language(self, lang: str) -> str:
        """The text for "zh-TW" or "en"; anything else is answered in zh-TW."""
        return self.en if lang == "en" else self.zh_tw

    def to_wire(self) -> dict[str, str]:
        return {"zh-TW": self.zh_tw, "en": self.en}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document that the statement is about: its name as shown, and SHA-256 over its octets in lower-case hex."""

    name: str
    sha256: str

    def __post_init__(self) -> None:
        _text(self.name, "documents.name", MAX_NAME)
        _match(_SHA256_HEX, self.sha256, "documents.sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What the provider asks a citizen to sign. Making one raises StatementMalformed unless the grammar holds.

    iat and exp: seconds since 1970. nonce: 256 bits in base64url. origin: serialised, as a browser would send it.
    cnf: the RFC 7638 thumbprint of the key to be enrolled, present exactly where the flow is `enrol`.
    """

    iss: str
    iat: int
    exp: int
    nonce: str
    flow: Flow
    origin: str
    client_id: str
    client_name: LocalText
    purpose: LocalText
    acr: str
    claims: tuple[str, ...]
    documents: tuple[Document, ...] = ()
    cnf: str | None = None

    def __post_init__(self) -> None:
        verify_issuer(self.iss)
        verify_origin(self.origin)
        self._verify_times()
        _match(_TOKEN_256, self.nonce, "nonce")
        _match(_CLIENT_ID, self.client_id, "client_id")
        _match(_ACR, self.acr, "acr")
        for text, name, limit in (
            (self.client_name, "client_name", MAX_NAME),
            (self.purpose, "purpose", MAX_PURPOSE),
        ):
            _text(text.zh_tw, name, limit)
            _text(text.en, name, limit)
        self._verify_lists()
        if (self.cnf is not None) != (self.flow is Flow.ENROL):
            raise StatementMalformed("cnf belongs to the flow enrol and to no other")
        if self.cnf is not None:
            _match(_TOKEN_256, self.cnf, "cnf.jkt")

    def _verify_times(self) -> None:
        for name, value in (("iat", self.iat), ("exp", self.exp)):
            if type(value) is not int or not 0 <= value <= MAX_TIME:
                raise StatementMalformed(f"{name} is not a time")
        if not 0 < self.exp - self.iat <= MAX_LIFETIME_S:
            raise StatementMalformed("lifetime")

    def _verify_lists(self) -> None:
        if len(self.claims) > MAX_CLAIMS or len(set(self.claims)) != len(self.claims):
            raise StatementMalformed("claims are too many or repeated")
        for claim in self.claims:
            _match(_CLAIM, claim, "claims")
        if len(self.documents) > MAX_DOCUMENTS:
            raise StatementMalformed("too many documents")
        if self.documents and self.flow not in _WITH_DOCUMENTS:
            raise StatementMalformed("documents belong to the flows sign and decrypt")
        if not self.documents and self.flow is Flow.SIGN:
            raise StatementMalformed("the flow sign needs a document")


def verify_origin(origin: str) -> None:
    """Accept iff it is a serialised web origin: https, or http on the loopback; no default port, no path.

    Raises: StatementMalformed.
    """
    _match(_ORIGIN_ONLY, origin, "origin")
    if len(origin) > 255 or _DEFAULT_PORT.fullmatch(origin):
        raise StatementMalformed("origin")


def verify_issuer(issuer: str) -> None:
    """Accept iff it is an issuer identifier: an origin and at most a path, without a slash at the end.

    Raises: StatementMalformed.
    """
    _match(_URL, issuer, "iss")
    if len(issuer) > 255 or _DEFAULT_PORT.fullmatch(issuer):
        raise StatementMalformed("iss")


def verify_text(text: str, limit: int) -> None:
    """Accept iff a statement may show it: 1 to `limit` characters, not blank at either end, nothing invisible.

    For registries, so that a client's name is refused when it is entered and not when a citizen waits.
    Raises: StatementMalformed.
    """
    _text(text, "text", limit)


def _text(value: str, name: str, limit: int) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise StatementMalformed(f"{name} is empty or too long")
    if _UNSHOWABLE.search(value) or value != value.strip():
        raise StatementMalformed(f"{name} has characters that must not be shown")


def _match(pattern: re.Pattern[str], value: str, name: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise StatementMalformed(name)
