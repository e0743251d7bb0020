"""A status change as a record of the second place."""

from datetime import UTC, datetime, timedelta

from ca_core.kernel.second_place import Record
from ca_core.revocation.model import Change, RevocationReason, StatusChange

KIND = "status"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def change_record(change: StatusChange) -> Record:
    """Everything that the log's row holds, but the CRL entry, which follows from it."""
    return {
        "kind": KIND,
        "seq": change.sequence,
        "certificate_id": change.certificate_id,
        "authority_id": change.authority_id,
        "serial": format(change.serial, "x"),
        "change": change.change.value,
        "reason": change.reason.value,
        "at": _microseconds(change.at),
        "invalidity_date": None if change.invalidity_date is None else _microseconds(change.invalidity_date),
        "actor": change.actor,
        "not_after": _microseconds(change.not_after),
        "crl_shard": change.crl_shard,
        "by_origin": int(change.by_origin),
    }


def parse_change_record(record: Record) -> StatusChange:
    """Raises: ValueError, KeyError, for what `change_record` did not make."""
    invalidity_date, shard = record["invalidity_date"], record["crl_shard"]
    return StatusChange(
        sequence=_integer(record["seq"]),
        certificate_id=_integer(record["certificate_id"]),
        authority_id=_integer(record["authority_id"]),
        serial=int(str(record["serial"]), 16),
        change=Change(str(record["change"])),
        reason=RevocationReason(str(record["reason"])),
        at=_moment(record["at"]),
        invalidity_date=None if invalidity_date is None else _moment(invalidity_date),
        actor=str(record["actor"]),
        not_after=_moment(record["not_after"]),
        crl_shard=None if shard is None else _integer(shard),
        by_origin=record.get("by_origin", 0) == 1,
    )


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(value: str | int | None) -> datetime:
    return _EPOCH + timedelta(microseconds=_integer(value))


def _integer(value: str | int | None) -> int:
    if not isinstance(value, int):
        raise ValueError("not an integer")
    return value
