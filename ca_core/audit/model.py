"""Events and their commitments. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from ca_core.audit.errors import EventRefused

MAX_DETAIL_BYTES = 4096

_LEAF_DOMAIN = b"citizenid audit leaf v1\n"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAME = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")
_IDENTIFIER = re.compile(r"[!-~]{0,128}")
_NATIONAL_ID = re.compile(r"(?<![A-Za-z0-9])[A-Za-z][12A-Da-d89][0-9]{8}(?![A-Za-z0-9])")
_MASK = "[masked]"
_canonical = json.JSONEncoder(ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_members = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class Outcome(StrEnum):
    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One act, as it goes into the log.

    name: `feature.act`, e.g. "certificate.issued". actor: "person:<id>", "operator:<id>", "system:<role>",
    "client:<id>" or "anonymous". subject: an internal id such as "certificate:12". detail: bounded, no personal data;
    whatever looks like a national ID is masked in it and refused elsewhere.
    """

    name: str
    actor: str
    outcome: Outcome
    subject: str = ""
    request_id: str = ""
    detail: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """A row of the log. `detail` is the canonical JSON text that the leaf hash commits to."""

    id: int
    at: datetime
    name: str
    actor: str
    outcome: Outcome
    subject: str
    request_id: str
    detail: str
    salt: bytes
    leaf_hash: bytes


def canonical_detail(event: AuditEvent) -> str:
    """The event's detail as canonical JSON in ASCII, after the event passed the bounds. Raises: EventRefused."""
    if len(event.name) > 64 or not _NAME.fullmatch(event.name):
        raise EventRefused("name")
    for text in (event.actor, event.subject, event.request_id):
        if not _IDENTIFIER.fullmatch(text) or _NATIONAL_ID.search(text):
            raise EventRefused("actor, subject or request_id")
    if not event.actor:
        raise EventRefused("no actor")
    if not event.detail:
        return "{}"
    shown = {
        key: _NATIONAL_ID.sub(_MASK, value) if isinstance(value, str) else value for key, value in event.detail.items()
    }
    text = _canonical(shown)
    if len(text) > MAX_DETAIL_BYTES:
        raise EventRefused("detail is too large")
    return text


def leaf_hash(
    *, at: datetime, name: str, actor: str, outcome: str, subject: str, request_id: str, detail: str, salt: bytes
) -> bytes:
    """SHA-256 over the domain and the canonical JSON of everything recorded: a salted commitment to the event.

    These 32 octets are the event's entry in the Merkle log. Who has the event and its salt can check it; who has the
    log alone learns nothing of the event.
    """
    members = [(at - _EPOCH) // _MICROSECOND, name, actor, outcome, subject, request_id, detail, salt.hex()]
    return sha256(_LEAF_DOMAIN + _members(members).encode("ascii")).digest()
