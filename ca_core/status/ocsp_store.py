"""Tables of OCSP responders and of the answers that were signed beforehand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from sqlalchemy import (
    BigInteger,
    Column,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    desc,
    insert,
    select,
    text,
    update,
)

from ca_core.kernel.database import BigId, Row, Statement, Transaction, UtcTime
from ca_core.schema import metadata

responders = Table(
    "ocsp_responders",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("authority_id", BigId, nullable=False, index=True),
    Column("certificate_id", BigId, nullable=False),
    Column("key_label", String(64), nullable=False, unique=True),
    Column("certificate", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)
orders = Table(
    "ocsp_responder_orders",
    metadata,
    Column("key_label", String(64), primary_key=True),
    Column("authority_id", BigId, nullable=False, index=True),
    Column("created_at", UtcTime, nullable=False),
)
answers = Table(
    "ocsp_answers",
    metadata,
    Column("cert_id_digest", String(64), primary_key=True),
    Column("cert_id", LargeBinary, nullable=False),
    Column("serial", String(40), nullable=False),
    Column("certificate_id", BigId, nullable=False, index=True),
    Column("authority_id", BigId, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("responder_id", BigId, nullable=False),
    Column("der", LargeBinary, nullable=False),
    Column("this_update", UtcTime, nullable=False),
    Column("next_update", UtcTime, nullable=False),
    Column("refresh_at", UtcTime, nullable=False, index=True),
    Column("asked_at", UtcTime, nullable=False),
)

_ADD_RESPONDER = Statement(
    insert(responders).values(
        authority_id=bindparam("authority_id"),
        certificate_id=bindparam("certificate_id"),
        key_label=bindparam("key_label"),
        certificate=bindparam("certificate"),
        created_at=bindparam("created_at"),
    )
)
_RESPONDERS = Statement(
    select(responders.c.certificate_id, responders.c.key_label, responders.c.certificate)
    .where(responders.c.authority_id == bindparam("authority_id"))
    .order_by(desc(responders.c.id))
    .limit(64)
)
_ADD_ORDER = Statement(insert(orders).values({column.name: bindparam(column.name) for column in orders.c}))
_ORDERS = Statement(
    select(orders.c.key_label)
    .where(orders.c.authority_id == bindparam("authority_id"))
    .order_by(desc(orders.c.created_at))
    .limit(64)
)
_END_ORDER = Statement(delete(orders).where(orders.c.key_label == bindparam("wanted_label")))

_NAMES = tuple(column.name for column in answers.c)
_PUT_ANSWER = Statement(
    text(
        f"INSERT INTO ocsp_answers ({', '.join(_NAMES)}) VALUES ({', '.join(f':{name}' for name in _NAMES)}) "  # noqa: S608 - our own columns
        "ON CONFLICT (cert_id_digest) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in _NAMES if name not in ("cert_id_digest", "asked_at"))
    ).bindparams(*(bindparam(column.name, type_=column.type) for column in answers.c))
)
_ANSWER = Statement(select(*answers.c).where(answers.c.cert_id_digest == bindparam("cert_id_digest")))
_DUE = Statement(
    select(*answers.c)
    .where(answers.c.refresh_at <= bindparam("now"))
    .order_by(answers.c.refresh_at)
    .limit(bindparam("limit_"))
)
_CLAIM = Statement(
    update(answers)
    .where(answers.c.cert_id_digest == bindparam("wanted_digest"), answers.c.refresh_at == bindparam("seen"))
    .values(refresh_at=bindparam("refresh_at"))
)
_HURRY = Statement(
    update(answers).where(answers.c.certificate_id == bindparam("wanted_id")).values(refresh_at=bindparam("refresh_at"))
)
_TOUCH = Statement(
    update(answers).where(answers.c.cert_id_digest == bindparam("wanted_digest")).values(asked_at=bindparam("asked_at"))
)
_FORGET = Statement(delete(answers).where(answers.c.cert_id_digest == bindparam("wanted_digest")))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """An answer signed beforehand, about one CertID.

    changed: the certificate's latest change, by its place in the log, that the answer speaks of. responder_id: the
    certificate_id of its signer. refresh_at: when it is signed anew. asked_at: about when it was last asked for.
    """

    cert_id_digest: str
    cert_id: bytes
    serial: int
    certificate_id: int
    authority_id: int
    changed: int
    responder_id: int
    der: bytes
    this_update: datetime
    next_update: datetime
    refresh_at: datetime
    asked_at: datetime


def add_responder(
    tx: Transaction,
    authority_id: int,
    *,
    certificate_id: int,
    key_label: str,
    certificate: bytes,
    now: datetime,
) -> None:
    """Raises: Conflict, for a key that has its certificate."""
    tx.execute(
        _ADD_RESPONDER,
        authority_id=authority_id,
        certificate_id=certificate_id,
        key_label=key_label,
        certificate=certificate,
        created_at=now,
    )


def newest_responders(tx: Transaction, authority_id: int) -> Iterator[tuple[int, str, x509.Certificate]]:
    """(certificate_id, key label, certificate) of the newest 64, newest first. Nodes with keys of their own have one
    each."""
    for certificate_id, key_label, certificate in tx.all(_RESPONDERS, authority_id=authority_id):
        yield certificate_id, key_label, x509.load_der_x509_certificate(bytes(certificate))


def add_order(tx: Transaction, authority_id: int, key_label: str, now: datetime) -> None:
    """A key waits for its certificate."""
    tx.execute(_ADD_ORDER, key_label=key_label, authority_id=authority_id, created_at=now)


def open_orders(tx: Transaction, authority_id: int) -> list[str]:
    """The labels of keys that wait for a certificate of that authority, newest first, at most 64."""
    return [label for (label,) in tx.all(_ORDERS, authority_id=authority_id)]


def end_order(tx: Transaction, key_label: str) -> None:
    tx.execute(_END_ORDER, wanted_label=key_label)


def put_answer(tx: Transaction, answer: StoredAnswer) -> None:
    """Adds it, or replaces the one about the same CertID; when that was asked for stays."""
    tx.execute(
        _PUT_ANSWER, **{**{name: getattr(answer, name) for name in _NAMES}, "serial": format(answer.serial, "040x")}
    )


def answer_of(tx: Transaction, cert_id_digest: str) -> StoredAnswer | None:
    row = tx.one_or_none(_ANSWER, cert_id_digest=cert_id_digest)
    return None if row is None else _stored(row)


def ask_answer_of(tx: Transaction, cert_id_digest: str) -> Callable[[], StoredAnswer | None]:
    """As `answer_of`, together with the statement that follows."""
    asked = tx.ask(_ANSWER, cert_id_digest=cert_id_digest)

    def answer() -> StoredAnswer | None:
        row = asked()
        return None if row is None else _stored(row)

    return answer


def due_answers(tx: Transaction, now: datetime, limit: int) -> list[StoredAnswer]:
    """Those that are to be signed anew, the longest overdue first."""
    return [_stored(row) for row in tx.all(_DUE, now=now, limit_=limit)]


def claim_answer(tx: Transaction, answer: StoredAnswer, until: datetime) -> bool:
    """True for the one worker that signs it anew; another may after `until`."""
    seen = answer.refresh_at
    return tx.execute(_CLAIM, wanted_digest=answer.cert_id_digest, seen=seen, refresh_at=until) == 1


def hurry_answers(tx: Transaction, certificate_id: int, now: datetime) -> None:
    """Has all that is said of a certificate signed anew at once."""
    tx.execute(_HURRY, wanted_id=certificate_id, refresh_at=now)


def touch_answer(tx: Transaction, cert_id_digest: str, now: datetime) -> None:
    """It was asked for."""
    tx.execute(_TOUCH, wanted_digest=cert_id_digest, asked_at=now)


def forget_answer(tx: Transaction, cert_id_digest: str) -> None:
    tx.execute(_FORGET, wanted_digest=cert_id_digest)


def _stored(row: Row) -> StoredAnswer:
    fields = dict(zip(_NAMES, row, strict=True))
    fields.update(cert_id=bytes(fields["cert_id"]), der=bytes(fields["der"]), serial=int(fields["serial"], 16))
    return StoredAnswer(**fields)
