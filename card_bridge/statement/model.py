"""The statement's members, and the grammar of an untrusted payload."""

import hashlib
import re
import unicodedata
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from card_bridge.statement.errors import StatementMalformed
from card_bridge.statement.jose import parse_base64url
from card_bridge.web_eid.errors import OriginMalformed
from card_bridge.web_eid.origin import MAX_ORIGIN_LENGTH, Origin, parse_origin

FLOWS = frozenset(
    {"card", "phone-qr", "phone-link", "phone-push", "passkey", "sign", "decrypt", "enrol", "passkey-register"}
)
MEMBERS = frozenset(
    {"iss", "iat", "exp", "nonce", "flow", "origin", "client_id", "client_name", "purpose", "acr", "claims"}
    | {"documents"}
)
FLOWS_WITH_DOCUMENTS = frozenset({"sign", "decrypt"})
MAX_LIFETIME_S = 600
MAX_TIME = 253_402_300_799  # the last second of the year 9999
MAX_NAME_LENGTH = 100
MAX_PURPOSE_LENGTH = 200
MAX_CLAIMS = 40
MAX_DOCUMENTS = 10
_HEX_256 = re.compile(r"[0-9a-f]{64}")
_CLAIM = re.compile(r"[A-Za-z0-9_.:/#-]{1,64}")
_NAME = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")  # visible ASCII without " and \
_ISSUER_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalText:
    zh_tw: str
    en: str

    def in_language(self, lang: str) -> str:
        return self.en if lang == "en" else self.zh_tw


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    name: str
    sha256: str  # lower-case hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    iss: str
    iat: datetime
    exp: datetime
    nonce: str
    flow: str
    origin: Origin
    client_id: str
    client_name: LocalText
    purpose: LocalText
    acr: str
    claims: tuple[str, ...]
    documents: tuple[Document, ...]
    cnf: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedStatement:
    """A statement whose provider's signature, digest, origin and time were checked. Only the verifier makes it."""

    statement: Statement
    digest: bytes

    @property
    def challenge_nonce(self) -> str:
        return b64encode(self.digest).decode("ascii")

    @property
    def code(self) -> str:
        """The four digits that the page shows too: the last two octets of SHA-256(D), modulo 10000."""
        return code_of(self.digest)


def code_of(digest: bytes) -> str:
    """Four decimal digits for a statement's digest."""
    return f"{int.from_bytes(hashlib.sha256(digest).digest()[-2:], 'big') % 10_000:04d}"


def parse_statement(payload: Mapping[str, object]) -> Statement:
    """The statement in a decoded payload: exactly its members, each of its type and size. Raises: StatementMalformed.

    Text that a person reads may hold no control, formatting or unassigned characters: a bidirectional override in a
    name could make one agency look like another.
    """
    flow = _text(payload, "flow")
    if flow not in FLOWS or payload.keys() != MEMBERS | ({"cnf"} if flow == "enrol" else frozenset()):
        raise StatementMalformed("other members than the grammar's, or an unknown flow")
    iat, exp = _moment(payload, "iat"), _moment(payload, "exp")
    if not 0 < (exp - iat).total_seconds() <= MAX_LIFETIME_S:
        raise StatementMalformed("exp does not follow iat within ten minutes")
    return Statement(
        iss=parse_issuer(_text(payload, "iss")),
        iat=iat,
        exp=exp,
        nonce=_octets_256(payload["nonce"], "nonce"),
        flow=flow,
        origin=_origin(_text(payload, "origin")),
        client_id=_match(_NAME, payload["client_id"], "client_id"),
        client_name=parse_local_text(payload["client_name"], MAX_NAME_LENGTH),
        purpose=parse_local_text(payload["purpose"], MAX_PURPOSE_LENGTH),
        acr=_match(_NAME, payload["acr"], "acr"),
        claims=_claims(payload["claims"]),
        documents=_documents(payload["documents"], flow),
        cnf=_thumbprint(payload["cnf"]) if "cnf" in payload else None,
    )


def parse_issuer(text: str) -> str:
    """An issuer identifier: an origin and at most a path without a slash at its end. Raises: StatementMalformed."""
    origin, slash, path = text.partition("://")[2].partition("/")
    _origin(f"{text.partition('://')[0]}://{origin}")
    if len(text) > MAX_ORIGIN_LENGTH or not _ISSUER_PATH.fullmatch(slash + path):
        raise StatementMalformed("iss")
    return text


def parse_local_text(value: object, max_length: int) -> LocalText:
    """A text in both languages. Raises: StatementMalformed."""
    if not isinstance(value, dict) or value.keys() != {"zh-TW", "en"}:
        raise StatementMalformed("not a text in zh-TW and en")
    return LocalText(zh_tw=_readable(value["zh-TW"], max_length), en=_readable(value["en"], max_length))


def _readable(value: object, max_length: int) -> str:
    if not isinstance(value, str) or not value or value != value.strip() or len(value) > max_length:
        raise StatementMalformed("a text is empty, too long, blank at an end, or no text")
    if any(unicodedata.category(character) in _HIDDEN for character in value):
        raise StatementMalformed("a text holds characters that cannot be seen")
    return value


def _text(payload: Mapping[str, object], member: str) -> str:
    value = payload.get(member)
    if not isinstance(value, str):
        raise StatementMalformed(member)
    return value


def _match(pattern: re.Pattern[str], value: object, member: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise StatementMalformed(member)
    return value


def _moment(payload: Mapping[str, object], member: str) -> datetime:
    value = payload.get(member)
    if type(value) is not int or not 0 <= value <= MAX_TIME:
        raise StatementMalformed(member)
    return datetime.fromtimestamp(value, UTC)


def _claims(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_CLAIMS:
        raise StatementMalformed("claims")
    claims = tuple(_match(_CLAIM, claim, "claims") for claim in value)
    if len(set(claims)) != len(claims):
        raise StatementMalformed("a claim is repeated")
    return claims


def _documents(value: object, flow: str) -> tuple[Document, ...]:
    if not isinstance(value, list) or len(value) > MAX_DOCUMENTS:
        raise StatementMalformed("documents")
    if (value and flow not in FLOWS_WITH_DOCUMENTS) or (not value and flow == "sign"):
        raise StatementMalformed("documents belong to the flows sign, which needs one, and decrypt")
    documents = []
    for item in value:
        if not isinstance(item, dict) or item.keys() != {"name", "sha256"}:
            raise StatementMalformed("documents")
        documents.append(
            Document(name=_readable(item["name"], MAX_NAME_LENGTH), sha256=_match(_HEX_256, item["sha256"], "sha256"))
        )
    return tuple(documents)


def _thumbprint(value: object) -> str:
    if not isinstance(value, dict) or value.keys() != {"jkt"}:
        raise StatementMalformed("cnf")
    return _octets_256(value["jkt"], "jkt")


def _octets_256(value: object, member: str) -> str:
    try:
        if isinstance(value, str) and len(parse_base64url(value)) == 32:
            return value
    except ValueError as error:
        raise StatementMalformed(member) from error
    raise StatementMalformed(member)


def _origin(text: str) -> Origin:
    try:
        return parse_origin(text)
    except OriginMalformed as error:
        raise StatementMalformed("origin") from error
