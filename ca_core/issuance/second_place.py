"""Intents and certificates as records of the second place."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ca_core.issuance.model import Intent, IssuedCertificate, LintMode
from ca_core.kernel.second_place import Record

INTENT_KIND = "intent"
CERTIFICATE_KIND = "certificate"
BLOCKED_KEY_KIND = "blocked_key"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournaledIntent:
    """An intent with the key that it certifies and that key's holder, both as digests.

    origin: authority and serial of the certificate that it is derived from; `intent.derived_from` is not set.
    """

    intent: Intent
    key_digest: str
    holder: str
    origin: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournaledCertificate:
    """A certificate as it was about to be recorded."""

    certificate_id: int
    request_id: str
    authority_id: int
    serial: int
    der: bytes
    issued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedKey:
    """A key, by SHA-256 of its SubjectPublicKeyInfo, that is never certified (again)."""

    key_digest: str
    reason: str
    actor: str
    at: datetime


def intent_record(intent: Intent, *, key_digest: str, holder: str, origin: IssuedCertificate | None = None) -> Record:
    """Everything that the intent's row holds."""
    return {
        "kind": INTENT_KIND,
        "request_id": intent.request_id,
        "request_digest": intent.request_digest,
        "authority_id": intent.authority_id,
        "serial": format(intent.serial, "x"),
        "profile": intent.profile,
        "tbs": b64encode(intent.tbs).decode("ascii"),
        "person_id": intent.person_id,
        "card_number": intent.card_number,
        "actor": intent.actor,
        "created_at": (intent.created_at - _EPOCH) // _MICROSECOND,
        "lint": intent.lint.value,
        "key_digest": key_digest,
        "holder": holder,
        "origin_authority_id": None if origin is None else origin.authority_id,
        "origin_serial": None if origin is None else format(origin.serial, "x"),
    }


def certificate_record(intent: Intent, *, certificate_id: int, der: bytes, issued_at: datetime) -> Record:
    """What turns the intent into its certificate."""
    return {
        "kind": CERTIFICATE_KIND,
        "certificate_id": certificate_id,
        "request_id": intent.request_id,
        "authority_id": intent.authority_id,
        "serial": format(intent.serial, "x"),
        "der": b64encode(der).decode("ascii"),
        "issued_at": (issued_at - _EPOCH) // _MICROSECOND,
    }


def blocked_key_record(key_digest: str, *, reason: str, actor: str, now: datetime) -> Record:
    """Everything that the row of a blocked key holds."""
    return {
        "kind": BLOCKED_KEY_KIND,
        "key_digest": key_digest,
        "reason": reason,
        "actor": actor,
        "blocked_at": (now - _EPOCH) // _MICROSECOND,
    }


def parse_intent_record(record: Record) -> JournaledIntent:
    """Raises: ValueError, KeyError, for what `intent_record` did not make."""
    intent = Intent(
        request_id=str(record["request_id"]),
        request_digest=str(record["request_digest"]),
        authority_id=_integer(record["authority_id"]),
        serial=int(str(record["serial"]), 16),
        profile=str(record["profile"]),
        tbs=b64decode(str(record["tbs"]), validate=True),
        person_id=_optional(record["person_id"]),
        card_number=_optional(record["card_number"]),
        actor=str(record["actor"]),
        created_at=_moment(record["created_at"]),
        lint=LintMode(str(record["lint"])),
    )
    origin = record.get("origin_serial")
    return JournaledIntent(
        intent=intent,
        key_digest=str(record["key_digest"]),
        holder=str(record["holder"]),
        origin=None if origin is None else (_integer(record["origin_authority_id"]), int(str(origin), 16)),
    )


def parse_blocked_key_record(record: Record) -> BlockedKey:
    """Raises: ValueError, KeyError, for what `blocked_key_record` did not make."""
    return BlockedKey(
        key_digest=str(record["key_digest"]),
        reason=str(record["reason"]),
        actor=str(record["actor"]),
        at=_moment(record["blocked_at"]),
    )


def parse_certificate_record(record: Record) -> JournaledCertificate:
    """Raises: ValueError, KeyError, for what `certificate_record` did not make."""
    return JournaledCertificate(
        certificate_id=_integer(record["certificate_id"]),
        request_id=str(record["request_id"]),
        authority_id=_integer(record["authority_id"]),
        serial=int(str(record["serial"]), 16),
        der=b64decode(str(record["der"]), validate=True),
        issued_at=_moment(record["issued_at"]),
    )


def _optional(value: str | int | None) -> str | None:
    return None if value is None else str(value)


def _moment(value: str | int | None) -> datetime:
    return _EPOCH + timedelta(microseconds=_integer(value))


def _integer(value: str | int | None) -> int:
    if not isinstance(value, int):
        raise ValueError("not an integer")
    return value
