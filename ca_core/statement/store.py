"""Statements and the evidence of what citizens did with them.

`statements` is short-lived and carries the safety rule: a digest is redeemed at most once. `statement_evidence` is kept
for years, holds its own copy of the statement, and may one day be partitioned by month.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from ca_core.kernel.database import BigId, Transaction, UtcTime
from ca_core.kernel.database import Statement as Sql
from ca_core.schema import metadata
from ca_core.statement.errors import StatementNotRedeemed
from ca_core.statement.model import MAX_COMPACT_BYTES
from ca_core.statement.signed import SignedStatement

EARLIER: Final = 8
"""How many statements of one interaction are remembered when a late answer is to be explained."""

statements = Table(
    "statements",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("compact", String(MAX_COMPACT_BYTES), nullable=False),
    Column("flow", String(20), nullable=False),
    Column("interaction_key", String(64), nullable=False),
    Column("issued_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False, index=True),
    Column("redeemed_at", UtcTime, nullable=True),
)
Index(None, statements.c.interaction_key, statements.c.id)

evidence = Table(
    "statement_evidence",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("compact", String(MAX_COMPACT_BYTES), nullable=False),
    Column("signature", LargeBinary(1024), nullable=False),
    Column("algorithm", String(20), nullable=False),
    Column("certificate_id", BigInteger, nullable=False),
    Column("person_id", String(22), nullable=False),
    Column("at", UtcTime, nullable=False),
)

_RECORD = Sql(
    insert(statements).values(
        digest=bindparam("digest"),
        compact=bindparam("compact"),
        flow=bindparam("flow"),
        interaction_key=bindparam("interaction_key"),
        issued_at=bindparam("issued_at"),
        expires_at=bindparam("expires_at"),
        redeemed_at=None,
    )
)
_TAKE = (
    update(statements)
    .where(
        statements.c.digest == bindparam("of_digest"),
        statements.c.interaction_key == bindparam("of_interaction"),
        statements.c.redeemed_at.is_(None),
        statements.c.expires_at > bindparam("now"),
    )
    .values(redeemed_at=bindparam("now"))
)
_REDEEM = Sql(_TAKE.returning(statements.c.compact))
_SPEND = Sql(_TAKE)
_EARLIER = Sql(
    select(statements.c.digest)
    .where(statements.c.interaction_key == bindparam("interaction_key"))
    .order_by(statements.c.id.desc())
    .limit(EARLIER)
)
_COMPACT = Sql(
    select(statements.c.compact).where(
        statements.c.digest == bindparam("digest"),
        statements.c.expires_at > bindparam("now"),
    )
)
_RECORD_EVIDENCE = Sql(
    insert(evidence).from_select(
        ["digest", "compact", "signature", "algorithm", "certificate_id", "person_id", "at"],
        select(
            statements.c.digest,
            statements.c.compact,
            bindparam("signature", type_=LargeBinary()),
            bindparam("algorithm", type_=String()),
            bindparam("certificate_id", type_=BigInteger()),
            bindparam("person_id", type_=String()),
            bindparam("at", type_=UtcTime()),
        ).where(statements.c.digest == bindparam("of_digest"), statements.c.redeemed_at.is_not(None)),
    )
)
_EVIDENCE = Sql(
    select(
        evidence.c.digest,
        evidence.c.compact,
        evidence.c.signature,
        evidence.c.algorithm,
        evidence.c.certificate_id,
        evidence.c.person_id,
        evidence.c.at,
    ).where(evidence.c.digest == bindparam("digest"))
)
_DELETE_EXPIRED = Sql(
    delete(statements).where(
        statements.c.id.in_(
            select(statements.c.id)
            .where(statements.c.expires_at < bindparam("before"))
            .order_by(statements.c.expires_at)
            .limit(bindparam("at_most"))
        )
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementEvidence:
    """What a citizen signed, as it is kept: the receipt, and the auditor's evidence.

    signature: the octets as the method delivered them. algorithm: the method's name for them, such as "ES256".
    """

    digest: bytes
    compact: str
    signature: bytes
    algorithm: str
    certificate_id: int
    person_id: str
    at: datetime


class StatementStore:
    """The statements of this provider. Every method runs in the caller's transaction."""

    def record(self, tx: Transaction, signed: SignedStatement, interaction_key: str) -> None:
        """Remembers a statement that was issued for one interaction. Raises: Conflict, if it is recorded already."""
        tx.execute(
            _RECORD,
            digest=signed.digest,
            compact=signed.compact,
            flow=signed.statement.flow.value,
            interaction_key=interaction_key,
            issued_at=signed.issued_at,
            expires_at=signed.expires_at,
        )

    def redeem(self, tx: Transaction, digest: bytes, interaction_key: str, now: datetime) -> SignedStatement | None:
        """The statement, for the one caller that takes it: before it expires, and for its own interaction only.

        None, and nothing changed, for everybody else. The redemption is the transaction's; it lasts if that commits.
        """
        row = tx.one_or_none(_REDEEM, of_digest=digest, of_interaction=interaction_key, now=now)
        return None if row is None else SignedStatement.from_own_record(row[0])

    def spend(self, tx: Transaction, digest: bytes, interaction_key: str, now: datetime) -> bool:
        """`redeem` for a caller that knows the digest and needs nothing else: whether it is the one that takes it."""
        return tx.execute(_SPEND, of_digest=digest, of_interaction=interaction_key, now=now) == 1

    def earlier_digests(self, tx: Transaction, interaction_key: str) -> list[bytes]:
        """D of every statement of the interaction, redeemed and expired ones included, newest first, at most 8."""
        return [row[0] for row in tx.all(_EARLIER, interaction_key=interaction_key)]

    def compact_by_digest(self, tx: Transaction, digest: bytes, now: datetime) -> str | None:
        """The serialisation of a statement that has not expired, for a bridge that knows only D."""
        row = tx.one_or_none(_COMPACT, digest=digest, now=now)
        return None if row is None else row[0]

    def record_evidence(
        self,
        tx: Transaction,
        digest: bytes,
        *,
        signature: bytes,
        algorithm: str,
        certificate_id: int,
        person_id: str,
        now: datetime,
    ) -> None:
        """Keeps a redeemed statement with the citizen's signature over it.

        Raises: StatementNotRedeemed (also for an unknown digest), Conflict (evidence is there already).
        """
        kept = tx.execute(
            _RECORD_EVIDENCE,
            of_digest=digest,
            signature=signature,
            algorithm=algorithm,
            certificate_id=certificate_id,
            person_id=person_id,
            at=now,
        )
        if kept != 1:
            raise StatementNotRedeemed

    def evidence(self, tx: Transaction, digest: bytes) -> StatementEvidence | None:
        """The evidence kept under D."""
        row = tx.one_or_none(_EVIDENCE, digest=digest)
        if row is None:
            return None
        return StatementEvidence(
            digest=row[0],
            compact=row[1],
            signature=row[2],
            algorithm=row[3],
            certificate_id=row[4],
            person_id=row[5],
            at=row[6],
        )

    def delete_expired(self, tx: Transaction, *, before: datetime, at_most: int = 1_000) -> int:
        """Forgets statements that expired before a moment, oldest first; says how many. Evidence stays.

        Leave an hour or so between expiry and `before`, so that late answers can still be told what they were.
        """
        return tx.execute(_DELETE_EXPIRED, before=before, at_most=at_most)
