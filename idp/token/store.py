"""Codes and access tokens, by their hashes."""

from datetime import datetime

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from ca_core.kernel.database import BigId, Row, Statement, Transaction, UtcTime
from idp.schema import metadata
from idp.token.model import AccessGrant, CodeGrant

authorization_code = Table(
    "authorization_code",
    metadata,
    Column("code_hash", LargeBinary(32), primary_key=True),
    Column("client_id", String(64), nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", String(43), nullable=False),
    Column("scope", Text, nullable=False),
    Column("nonce", Text, nullable=True),
    Column("id_token_claims", Text, nullable=False),
    Column("userinfo_claims", Text, nullable=False),
    Column("session_id", String(22), nullable=False),
    Column("person_id", String(64), nullable=False),
    Column("acr", String(64), nullable=False),
    Column("amr", String(64), nullable=False),
    Column("auth_time", UtcTime, nullable=False),
    Column("certificate_id", BigId, nullable=False),
    Column("status_source", String(32), nullable=False),
    Column("status_age_s", Integer, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("consumed_at", UtcTime, nullable=True),
    Index("ix_authorization_code_expires_at", "expires_at"),
)
access_token = Table(
    "access_token",
    metadata,
    Column("token_hash", LargeBinary(32), primary_key=True),
    Column("code_hash", LargeBinary(32), nullable=False),
    Column("client_id", String(64), nullable=False),
    Column("person_id", String(64), nullable=False),
    Column("session_id", String(22), nullable=False),
    Column("certificate_id", BigId, nullable=False),
    Column("scope", Text, nullable=False),
    Column("userinfo_claims", Text, nullable=False),
    Column("status_source", String(32), nullable=False),
    Column("status_age_s", Integer, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime, nullable=True),
    Index("ix_access_token_code_hash", "code_hash"),
    Index("ix_access_token_expires_at", "expires_at"),
)

_C = authorization_code.c
_GRANT = (
    _C.client_id,
    _C.redirect_uri,
    _C.code_challenge,
    _C.scope,
    _C.nonce,
    _C.id_token_claims,
    _C.userinfo_claims,
    _C.session_id,
    _C.person_id,
    _C.acr,
    _C.amr,
    _C.auth_time,
    _C.certificate_id,
    _C.status_source,
    _C.status_age_s,
)
INSERT_CODE = Statement(
    insert(authorization_code).values({c.name: bindparam(c.name) for c in (_C.code_hash, *_GRANT, _C.expires_at)})
)
REDEEM_CODE = Statement(
    update(authorization_code)
    .where(
        _C.code_hash == bindparam("which"),
        _C.client_id == bindparam("client"),
        _C.consumed_at.is_(None),
        _C.expires_at > bindparam("now"),
    )
    .values(consumed_at=bindparam("consumed_at"))
    .returning(*_GRANT)
)
WAS_CONSUMED = Statement(
    select(_C.code_hash).where(
        _C.code_hash == bindparam("which"), _C.client_id == bindparam("client"), _C.consumed_at.is_not(None)
    )
)
FORGET_CODES = Statement(delete(authorization_code).where(_C.expires_at < bindparam("before")))

_A = access_token.c
_ACCESS = (
    _A.client_id,
    _A.person_id,
    _A.session_id,
    _A.certificate_id,
    _A.scope,
    _A.userinfo_claims,
    _A.status_source,
    _A.status_age_s,
)
INSERT_TOKEN = Statement(
    insert(access_token).values(
        {c.name: bindparam(c.name) for c in (_A.token_hash, _A.code_hash, *_ACCESS, _A.expires_at)}
    )
)
LIVE_TOKEN = Statement(
    select(*_ACCESS).where(
        _A.token_hash == bindparam("token_hash"), _A.revoked_at.is_(None), _A.expires_at > bindparam("now")
    )
)
REVOKE_BY_CODE = Statement(
    update(access_token)
    .where(_A.code_hash == bindparam("which"), _A.revoked_at.is_(None))
    .values(revoked_at=bindparam("revoked_at"))
)
FORGET_TOKENS = Statement(delete(access_token).where(_A.expires_at < bindparam("before")))


class CodeStore:
    """The table of authorization codes. A consumed one stays until long after its tokens ended, to tell a replay."""

    def add(self, tx: Transaction, code_hash: bytes, grant: CodeGrant, expires_at: datetime) -> None:
        tx.execute(
            INSERT_CODE,
            code_hash=code_hash,
            client_id=grant.client_id,
            redirect_uri=grant.redirect_uri,
            code_challenge=grant.code_challenge,
            scope=" ".join(grant.scope),
            nonce=grant.nonce,
            id_token_claims=" ".join(grant.id_token_claims),
            userinfo_claims=" ".join(grant.userinfo_claims),
            session_id=grant.session_id,
            person_id=grant.person_id,
            acr=grant.acr,
            amr=" ".join(grant.amr),
            auth_time=grant.auth_time,
            certificate_id=grant.certificate_id,
            status_source=grant.status_source,
            status_age_s=grant.status_age_s,
            expires_at=expires_at,
        )

    def redeem(self, tx: Transaction, code_hash: bytes, client_id: str, now: datetime) -> CodeGrant | None:
        """Consumes the code: of any number of callers, one gets the grant. None for the others, and when expired."""
        row = tx.one_or_none(REDEEM_CODE, which=code_hash, client=client_id, now=now, consumed_at=now)
        return None if row is None else _grant(row)

    def was_consumed(self, tx: Transaction, code_hash: bytes, client_id: str) -> bool:
        """Whether the client presented this code before."""
        return tx.one_or_none(WAS_CONSUMED, which=code_hash, client=client_id) is not None

    def forget(self, tx: Transaction, before: datetime) -> int:
        return tx.execute(FORGET_CODES, before=before)


class AccessTokenStore:
    """The table of access tokens."""

    def add(self, tx: Transaction, token_hash: bytes, code_hash: bytes, grant: CodeGrant, expires_at: datetime) -> None:
        tx.execute(
            INSERT_TOKEN,
            token_hash=token_hash,
            code_hash=code_hash,
            client_id=grant.client_id,
            person_id=grant.person_id,
            session_id=grant.session_id,
            certificate_id=grant.certificate_id,
            scope=" ".join(grant.scope),
            userinfo_claims=" ".join(grant.userinfo_claims),
            status_source=grant.status_source,
            status_age_s=grant.status_age_s,
            expires_at=expires_at,
        )

    def live(self, tx: Transaction, token_hash: bytes, now: datetime) -> AccessGrant | None:
        """What the token opens; None when unknown, expired or revoked."""
        row = tx.one_or_none(LIVE_TOKEN, token_hash=token_hash, now=now)
        if row is None:
            return None
        return AccessGrant(
            client_id=row[0],
            person_id=row[1],
            session_id=row[2],
            certificate_id=row[3],
            scope=tuple(row[4].split()),
            userinfo_claims=tuple(row[5].split()),
            status_source=row[6],
            status_age_s=row[7],
        )

    def revoke_by_code(self, tx: Transaction, code_hash: bytes, now: datetime) -> int:
        """How many tokens of this code ended here."""
        return tx.execute(REVOKE_BY_CODE, which=code_hash, revoked_at=now)

    def forget(self, tx: Transaction, before: datetime) -> int:
        return tx.execute(FORGET_TOKENS, before=before)


def _grant(row: Row) -> CodeGrant:
    return CodeGrant(
        client_id=row[0],
        redirect_uri=row[1],
        code_challenge=row[2],
        scope=tuple(row[3].split()),
        nonce=row[4],
        id_token_claims=tuple(row[5].split()),
        userinfo_claims=tuple(row[6].split()),
        session_id=row[7],
        person_id=row[8],
        acr=row[9],
        amr=tuple(row[10].split()),
        auth_time=row[11],
        certificate_id=row[12],
        status_source=row[13],
        status_age_s=row[14],
    )
