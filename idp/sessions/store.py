"""Sessions, found by the hash of the cookie's token."""

from datetime import datetime

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    update,
)

from ca_core.kernel.database import BigId, Statement, Transaction, UtcTime
from ca_core.revocation.expressions import latest_change
from idp.schema import metadata
from idp.sessions.model import Session, Standing

login_session = Table(
    "login_session",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("token_hash", LargeBinary(32), nullable=False, unique=True),
    Column("person_id", String(64), nullable=False),
    Column("acr", String(64), nullable=False),
    Column("amr", String(64), nullable=False),
    Column("auth_time", UtcTime, nullable=False),
    Column("certificate_id", BigId, nullable=False),
    Column("method", String(32), nullable=False),
    Column("statement_digest", LargeBinary(32), nullable=False),
    Column("status_source", String(32), nullable=False),
    Column("status_age_s", Integer, nullable=False),
    Column("last_used_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime, nullable=True),
    Index("ix_login_session_person_id", "person_id"),
    Index("ix_login_session_expires_at", "expires_at"),
)

_T = login_session.c
_COLUMNS = (
    _T.id,
    _T.person_id,
    _T.acr,
    _T.amr,
    _T.auth_time,
    _T.certificate_id,
    _T.method,
    _T.statement_digest,
    _T.status_source,
    _T.status_age_s,
    _T.last_used_at,
    _T.expires_at,
)
INSERT = Statement(
    insert(login_session).values(
        {c.name: bindparam(c.name) for c in (*_COLUMNS, _T.token_hash)},
    )
)
_LATEST_CHANGE = func.coalesce(latest_change(_T.certificate_id), literal_column("''"))
BY_TOKEN = Statement(
    select(*_COLUMNS, _LATEST_CHANGE).where(_T.token_hash == bindparam("token_hash"), _T.ended_at.is_(None))
)
STANDING = Statement(
    select(_LATEST_CHANGE).where(_T.id == bindparam("id"), _T.ended_at.is_(None), _T.expires_at > bindparam("now"))
)
TOUCH = Statement(
    update(login_session)
    .where(_T.id == bindparam("which"), _T.ended_at.is_(None))
    .values(last_used_at=bindparam("last_used_at"))
)
END = Statement(
    update(login_session)
    .where(_T.id == bindparam("which"), _T.ended_at.is_(None))
    .values(ended_at=bindparam("ended_at"))
)
END_BY_TOKEN = Statement(
    update(login_session)
    .where(_T.token_hash == bindparam("which"), _T.ended_at.is_(None))
    .values(ended_at=bindparam("ended_at"))
)
FORGET = Statement(login_session.delete().where(_T.expires_at < bindparam("before")))


class SessionStore:
    """The table of sessions."""

    def add(self, tx: Transaction, session: Session, token_hash: bytes) -> None:
        tx.execute(
            INSERT,
            id=session.id,
            token_hash=token_hash,
            person_id=session.person_id,
            acr=session.acr,
            amr=" ".join(session.amr),
            auth_time=session.auth_time,
            certificate_id=session.certificate_id,
            method=session.method,
            statement_digest=session.statement_digest,
            status_source=session.status_source,
            status_age_s=session.status_age_s,
            last_used_at=session.last_used_at,
            expires_at=session.expires_at,
        )

    def by_token(self, tx: Transaction, token_hash: bytes) -> tuple[Session, str] | None:
        """The session, unless it was ended, and its certificate's latest change. Its limits are for the caller to
        check."""
        row = tx.one_or_none(BY_TOKEN, token_hash=token_hash)
        if row is None:
            return None
        session = Session(
            id=row[0],
            person_id=row[1],
            acr=row[2],
            amr=tuple(row[3].split()),
            auth_time=row[4],
            certificate_id=row[5],
            method=row[6],
            statement_digest=row[7],
            status_source=row[8],
            status_age_s=row[9],
            last_used_at=row[10],
            expires_at=row[11],
        )
        return session, row[12]

    def standing(self, tx: Transaction, session_id: str, now: datetime) -> Standing:
        row = tx.one_or_none(STANDING, id=session_id, now=now)
        return None if row is None else str(row[0])

    def touch(self, tx: Transaction, session_id: str, now: datetime) -> None:
        tx.execute(TOUCH, which=session_id, last_used_at=now)

    def end(self, tx: Transaction, session_id: str, now: datetime) -> bool:
        """Whether this call is the one that ended it."""
        return tx.execute(END, which=session_id, ended_at=now) == 1

    def end_by_token(self, tx: Transaction, token_hash: bytes, now: datetime) -> bool:
        return tx.execute(END_BY_TOKEN, which=token_hash, ended_at=now) == 1

    def forget(self, tx: Transaction, before: datetime) -> int:
        """Deletes what passed its absolute limit before that moment."""
        return tx.execute(FORGET, before=before)
