"""The statement's octets: compact JWS to `Statement` and back, strictly, without looking at the signature."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ca_core.statement.errors import StatementMalformed
from ca_core.statement.model import MAX_COMPACT_BYTES, Document, Flow, LocalText, Statement

TYP: Final = "citizen-statement+jwt"
ALG: Final = "ES256"

_COMPACT = re.compile(r"([A-Za-z0-9_-]{1,400})\.([A-Za-z0-9_-]{1,4000})\.([A-Za-z0-9_-]{86})")
_KID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADER: Final = frozenset({"alg", "typ", "kid"})
_PAYLOAD: Final = frozenset(
    {
        "iss",
        "iat",
        "exp",
        "nonce",
        "flow",
        "origin",
        "client_id",
        "client_name",
        "purpose",
        "acr",
        "claims",
        "documents",
    }
)
_PAYLOAD_WITH_KEY: Final = _PAYLOAD | {"cnf"}
_LOCAL_TEXT: Final = frozenset({"zh-TW", "en"})
_DOCUMENT: Final = frozenset({"name", "sha256"})
_CNF: Final = frozenset({"jkt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedStatement:
    """A well-formed statement of which nobody has checked the signature."""

    kid: str
    statement: Statement


def parse_compact(unverified_compact: str) -> UnverifiedStatement:
    """The statement in untrusted text, if it keeps the grammar to the letter.

    Refused: more than 4,096 octets, anything but three segments of canonical base64url, a header other than exactly
    {alg: ES256, typ, kid}, JSON with a member twice, unknown, missing, wrong-typed or over-long members.
    Raises: StatementMalformed.
    """
    if not isinstance(unverified_compact, str) or len(unverified_compact) > MAX_COMPACT_BYTES:
        raise StatementMalformed("too long")
    segments = _COMPACT.fullmatch(unverified_compact)
    if segments is None:
        raise StatementMalformed("not a compact serialisation")
    header = _json_object(_octets(segments[1]))
    payload = _json_object(_octets(segments[2]))
    _octets(segments[3])
    return UnverifiedStatement(kid=_parse_header(header), statement=_parse_payload(payload))


def payload_octets(statement: Statement) -> bytes:
    """The JWS payload: UTF-8 JSON without white space, members in the order of the type."""
    members: dict[str, object] = {
        "iss": statement.iss,
        "iat": statement.iat,
        "exp": statement.exp,
        "nonce": statement.nonce,
        "flow": statement.flow.value,
        "origin": statement.origin,
        "client_id": statement.client_id,
        "client_name": statement.client_name.to_wire(),
        "purpose": statement.purpose.to_wire(),
        "acr": statement.acr,
        "claims": statement.claims,
        "documents": [{"name": document.name, "sha256": document.sha256} for document in statement.documents],
    }
    if statement.cnf is not None:
        members["cnf"] = {"jkt": statement.cnf}
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def verify_kid(kid: str) -> None:
    """Accept iff a header may carry it. Raises: StatementMalformed."""
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        raise StatementMalformed("kid")


def _parse_header(header: Mapping[str, object]) -> str:
    if header.keys() != _HEADER or header["alg"] != ALG or header["typ"] != TYP:
        raise StatementMalformed("header")
    kid = _string(header["kid"])
    verify_kid(kid)
    return kid


def _parse_payload(payload: Mapping[str, object]) -> Statement:
    if payload.keys() != _PAYLOAD and payload.keys() != _PAYLOAD_WITH_KEY:
        raise StatementMalformed("members")
    try:
        flow = Flow(_string(payload["flow"]))
    except ValueError as error:
        raise StatementMalformed("flow") from error
    return Statement(
        iss=_string(payload["iss"]),
        iat=_integer(payload["iat"]),
        exp=_integer(payload["exp"]),
        nonce=_string(payload["nonce"]),
        flow=flow,
        origin=_string(payload["origin"]),
        client_id=_string(payload["client_id"]),
        client_name=_local_text(payload["client_name"]),
        purpose=_local_text(payload["purpose"]),
        acr=_string(payload["acr"]),
        claims=tuple(_string(claim) for claim in _array(payload["claims"])),
        documents=tuple(_document(document) for document in _array(payload["documents"])),
        cnf=_string(_members(payload["cnf"], _CNF)["jkt"]) if "cnf" in payload else None,
    )


def _local_text(value: object) -> LocalText:
    members = _members(value, _LOCAL_TEXT)
    return LocalText(zh_tw=_string(members["zh-TW"]), en=_string(members["en"]))


def _document(value: object) -> Document:
    members = _members(value, _DOCUMENT)
    return Document(name=_string(members["name"]), sha256=_string(members["sha256"]))


def _members(value: object, names: frozenset[str]) -> Mapping[str, object]:
    if not isinstance(value, dict) or value.keys() != names:
        raise StatementMalformed("members of an inner object")
    return value


def _array(value: object) -> list[object]:
    if not isinstance(value, list):
        raise StatementMalformed("not an array")
    return value


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise StatementMalformed("not a string")
    return value


def _integer(value: object) -> int:
    if type(value) is not int:
        raise StatementMalformed("not an integer")
    return value


def _octets(segment: str) -> bytes:
    try:
        octets = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError as error:
        raise StatementMalformed("not base64url") from error
    if urlsafe_b64encode(octets).rstrip(b"=") != segment.encode("ascii"):
        raise StatementMalformed("not canonical base64url")
    return octets


def _json_object(octets: bytes) -> dict[str, object]:
    try:
        value = json.loads(
            octets.decode("utf-8"),
            object_pairs_hook=_unique_members,
            parse_constant=_refuse,
            parse_float=_refuse,
        )
    except (ValueError, RecursionError) as error:
        raise StatementMalformed("not JSON") from error
    if not isinstance(value, dict):
        raise StatementMalformed("not an object")
    return value


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _refuse(literal: str) -> None:
    raise ValueError(f"{literal} has no place in a statement")
