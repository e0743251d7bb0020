"""Tables of OCSP responders."""

from collections.abc import Iterator
from datetime import datetime

from cryptography import x509
from sqlalchemy import Column, LargeBinary, String, Table, bindparam, desc, insert, select

from ca_core.kernel.database import BigId, Statement, Transaction, UtcTime
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
    .limit(4)
)


def add_responder(
    tx: Transaction,
    authority_id: int,
    *,
    certificate_id: int,
    key_label: str,
    certificate: bytes,
    now: datetime,
) -> None:
    tx.execute(
        _ADD_RESPONDER,
        authority_id=authority_id,
        certificate_id=certificate_id,
        key_label=key_label,
        certificate=certificate,
        created_at=now,
    )


def newest_responders(tx: Transaction, authority_id: int) -> Iterator[tuple[int, str, x509.Certificate]]:
    """(certificate_id, key label, certificate) of the newest few, newest first."""
    for certificate_id, key_label, certificate in tx.all(_RESPONDERS, authority_id=authority_id):
        yield certificate_id, key_label, x509.load_der_x509_certificate(bytes(certificate))
