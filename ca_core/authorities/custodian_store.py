"""Tables of custodians and their approvals."""

from datetime import datetime

from sqlalchemy import Column, LargeBinary, String, Table, Text, UniqueConstraint, bindparam, desc, insert, select

from ca_core.kernel.database import BigId, Statement, Transaction, UtcTime
from ca_core.schema import metadata

custodian_sets = Table(
    "ca_custodian_sets",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("file", Text, nullable=False),
    Column("established_by", String(128), nullable=False),
    Column("established_at", UtcTime, nullable=False),
)
approvals = Table(
    "ca_ceremony_approvals",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("file_digest", String(64), nullable=False),
    Column("key_digest", String(64), nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("approved_at", UtcTime, nullable=False),
    UniqueConstraint("file_digest", "key_digest"),
)

_ESTABLISH = Statement(
    insert(custodian_sets).values(
        digest=bindparam("digest"),
        file=bindparam("file"),
        established_by=bindparam("established_by"),
        established_at=bindparam("established_at"),
    )
)
_CURRENT = Statement(select(custodian_sets.c.file).order_by(desc(custodian_sets.c.id)).limit(1))
_APPROVE = Statement(
    insert(approvals).values(
        file_digest=bindparam("file_digest"),
        key_digest=bindparam("key_digest"),
        signature=bindparam("signature"),
        approved_at=bindparam("approved_at"),
    )
)
_APPROVALS = Statement(
    select(approvals.c.key_digest, approvals.c.signature)
    .where(approvals.c.file_digest == bindparam("file_digest"))
    .order_by(approvals.c.id)
)


class CustodianStore:
    """Sets of custodians, newest last, and approvals by the file's digest and the custodian's key."""

    def establish(self, tx: Transaction, *, digest: str, text: str, actor: str, now: datetime) -> None:
        """Raises: Conflict, for a file that was established before."""
        tx.execute(_ESTABLISH, digest=digest, file=text, established_by=actor, established_at=now)

    def current(self, tx: Transaction) -> str | None:
        """The file of the newest set."""
        row = tx.one_or_none(_CURRENT)
        return None if row is None else row[0]

    def approve(self, tx: Transaction, file_digest: str, key_digest: str, signature: bytes, *, now: datetime) -> None:
        """Raises: Conflict, where that custodian approved it before."""
        tx.execute(_APPROVE, file_digest=file_digest, key_digest=key_digest, signature=signature, approved_at=now)

    def approvals(self, tx: Transaction, file_digest: str) -> list[tuple[str, bytes]]:
        """(key digest, signature) of each, oldest first."""
        return [(row[0], bytes(row[1])) for row in tx.all(_APPROVALS, file_digest=file_digest)]
