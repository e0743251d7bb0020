"""Interactions. Each move of the state is one conditional update, so that of any number of racers one wins."""

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary, String, Table, Text, bindparam, delete, insert, select, update

from ca_core.kernel.database import Statement, Transaction, UtcTime
from idp.authorize.model import AuthorizationRequest, Interaction, InteractionState
from idp.schema import metadata

interaction = Table(
    "interaction",
    metadata,
    Column("key", String(43), primary_key=True),
    Column("browser_hash", LargeBinary(32), nullable=False),
    Column("client_id", String(64), nullable=False),
    Column("request", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("session_id", String(22), nullable=True),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("decided_at", UtcTime, nullable=True),
    Index("ix_interaction_expires_at", "expires_at"),
)

_T = interaction.c
INSERT = Statement(
    insert(interaction).values(
        key=bindparam("key"),
        browser_hash=bindparam("browser_hash"),
        client_id=bindparam("client_id"),
        request=bindparam("request"),
        state=bindparam("state"),
        session_id=bindparam("session_id"),
        created_at=bindparam("created_at"),
        expires_at=bindparam("expires_at"),
    )
)
BY_KEY = Statement(
    select(_T.browser_hash, _T.request, _T.state, _T.session_id, _T.created_at, _T.expires_at).where(
        _T.key == bindparam("key")
    )
)
AUTHENTICATE = Statement(
    update(interaction)
    .where(_T.key == bindparam("which"), _T.state == InteractionState.STARTED.value, _T.expires_at > bindparam("now"))
    .values(state=InteractionState.AUTHENTICATED.value, session_id=bindparam("session"))
)
DECIDE = Statement(
    update(interaction)
    .where(
        _T.key == bindparam("which"),
        _T.state == InteractionState.AUTHENTICATED.value,
        _T.session_id == bindparam("session"),
        _T.expires_at > bindparam("now"),
    )
    .values(state=InteractionState.DECIDED.value, decided_at=bindparam("decided_at"))
)
ABORT = Statement(
    update(interaction)
    .where(
        _T.key == bindparam("which"),
        _T.state != InteractionState.DECIDED.value,
        _T.expires_at > bindparam("now"),
    )
    .values(state=InteractionState.DECIDED.value, decided_at=bindparam("decided_at"))
)
FORGET = Statement(delete(interaction).where(_T.expires_at < bindparam("before")))


class InteractionStore:
    """The table of interactions."""

    def add(self, tx: Transaction, new: Interaction, browser_hash: bytes) -> None:
        tx.execute(
            INSERT,
            key=new.key,
            browser_hash=browser_hash,
            client_id=new.request.client_id,
            request=new.request.to_json(),
            state=new.state.value,
            session_id=new.session_id,
            created_at=new.created_at,
            expires_at=new.expires_at,
        )

    def by_key(self, tx: Transaction, interaction_id: str, key: str) -> tuple[Interaction, bytes] | None:
        """The interaction, and the hash of the browser token it is bound to."""
        row = tx.one_or_none(BY_KEY, key=key)
        if row is None:
            return None
        found = Interaction(
            id=interaction_id,
            key=key,
            request=AuthorizationRequest.from_json(row[1]),
            state=InteractionState(row[2]),
            session_id=row[3],
            created_at=row[4],
            expires_at=row[5],
        )
        return found, row[0]

    def authenticate(self, tx: Transaction, key: str, session_id: str, now: datetime) -> bool:
        """started -> authenticated. Whether this call made the move."""
        return tx.execute(AUTHENTICATE, which=key, session=session_id, now=now) == 1

    def decide(self, tx: Transaction, key: str, session_id: str, now: datetime) -> bool:
        """authenticated by this session -> decided. Whether this call made the move."""
        return tx.execute(DECIDE, which=key, session=session_id, now=now, decided_at=now) == 1

    def abort(self, tx: Transaction, key: str, now: datetime) -> bool:
        """Undecided -> decided. Whether this call made the move."""
        return tx.execute(ABORT, which=key, now=now, decided_at=now) == 1

    def forget(self, tx: Transaction, before: datetime) -> int:
        """Deletes those that expired before that moment."""
        return tx.execute(FORGET, before=before)
