"""Acts of consent, append-only; withdrawal is a column, so that what was once allowed stays provable."""

from datetime import datetime

from sqlalchemy import Column, Index, String, Table, Text, bindparam, insert, select, update

from ca_core.kernel.database import BigId, Statement, Transaction, UtcTime
from idp.consent.model import Consent
from idp.schema import metadata

consent = Table(
    "consent",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("person_id", String(64), nullable=False),
    Column("client_id", String(64), nullable=False),
    Column("scope", Text, nullable=False),
    Column("claims", Text, nullable=False),
    Column("granted_at", UtcTime, nullable=False),
    Column("withdrawn_at", UtcTime, nullable=True),
    Index("ix_consent_person_id_client_id", "person_id", "client_id"),
)

_T = consent.c
INSERT = Statement(
    insert(consent).values(
        person_id=bindparam("person_id"),
        client_id=bindparam("client_id"),
        scope=bindparam("scope"),
        claims=bindparam("claims"),
        granted_at=bindparam("granted_at"),
    )
)
ACTIVE = Statement(
    select(_T.scope, _T.claims, _T.granted_at)
    .where(_T.person_id == bindparam("person_id"), _T.client_id == bindparam("client_id"), _T.withdrawn_at.is_(None))
    .order_by(_T.id)
)
WITHDRAW = Statement(
    update(consent)
    .where(_T.person_id == bindparam("person"), _T.client_id == bindparam("client"), _T.withdrawn_at.is_(None))
    .values(withdrawn_at=bindparam("withdrawn_at"))
)


class ConsentStore:
    """The table of consents."""

    def add(self, tx: Transaction, given: Consent) -> None:
        tx.execute(
            INSERT,
            person_id=given.person_id,
            client_id=given.client_id,
            scope=" ".join(given.scope),
            claims=" ".join(given.claims),
            granted_at=given.granted_at,
        )

    def active(self, tx: Transaction, person_id: str, client_id: str) -> list[Consent]:
        """Bounded: a consent is added only where the earlier ones do not cover it."""
        return [
            Consent(
                person_id=person_id,
                client_id=client_id,
                scope=tuple(scope.split()),
                claims=tuple(claims.split()),
                granted_at=granted_at,
            )
            for scope, claims, granted_at in tx.all(ACTIVE, person_id=person_id, client_id=client_id)
        ]

    def withdraw(self, tx: Transaction, person_id: str, client_id: str, now: datetime) -> int:
        return tx.execute(WITHDRAW, person=person_id, client=client_id, withdrawn_at=now)
