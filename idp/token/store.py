"""Grants: a code and the access token that it turns into are one row, found by the hash of either.

Redeeming writes one row, and a second use finds in that same row what it has to end. There is no index on time: rows
are written in the order in which they expire, so that clean-up walks from the oldest on.
"""

from datetime import datetime

from sqlalchemy import Column, Integer, LargeBinary, String, Table, Text, bindparam, delete, insert, select, update

from ca_core.kernel.database import BigId, Row, Statement, Transaction, UtcTime
from idp.schema import metadata
from idp.sessions.model import Standing
from idp.sessions.standing import standing
from idp.token.model import AccessGrant, CodeGrant

authorization_grant = Table(
    "authorization_grant",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("code_hash", LargeBinary(32), nullable=False, unique=True),
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
    Column("code_expires_at", UtcTime, nullable=False),
    Column("redeemed_at", UtcTime, nullable=True),
    Column("token_hash", LargeBinary(32), nullable=True, unique=True),
    Column("token_expires_at", UtcTime, nullable=True),
    Column("revoked_at", UtcTime, nullable=True),
)

_T = authorization_grant.c
_GRANT = (
    _T.client_id,
    _T.redirect_uri,
    _T.code_challenge,
    _T.scope,
    _T.nonce,
    _T.id_token_claims,
    _T.userinfo_claims,
    _T.session_id,
    _T.person_id,
    _T.acr,
    _T.amr,
    _T.auth_time,
    _T.certificate_id,
    _T.status_source,
    _T.status_age_s,
)
INSERT = Statement(
    insert(authorization_grant).values({c.name: bindparam(c.name) for c in (_T.code_hash, *_GRANT, _T.code_expires_at)})
)
REDEEM = Statement(
    update(authorization_grant)
    .where(
        _T.code_hash == bindparam("which"),
        _T.client_id == bindparam("client"),
        _T.redeemed_at.is_(None),
        _T.code_expires_at > bindparam("now"),
    )
    .values(
        redeemed_at=bindparam("redeemed_at"),
        token_hash=bindparam("token_hash"),
        token_expires_at=bindparam("token_expires_at"),
    )
    .returning(*_GRANT, standing(_T.session_id))
)
WAS_REDEEMED = Statement(
    select(_T.id).where(
        _T.code_hash == bindparam("which"), _T.client_id == bindparam("client"), _T.redeemed_at.is_not(None)
    )
)
REVOKE = Statement(
    update(authorization_grant)
    .where(_T.code_hash == bindparam("which"), _T.revoked_at.is_(None))
    .values(revoked_at=bindparam("revoked_at"))
)
BY_TOKEN = Statement(
    select(
        _T.client_id,
        _T.person_id,
        _T.session_id,
        _T.certificate_id,
        _T.scope,
        _T.userinfo_claims,
        _T.status_source,
        _T.status_age_s,
        standing(_T.session_id),
    ).where(_T.token_hash == bindparam("token_hash"), _T.revoked_at.is_(None), _T.token_expires_at > bindparam("now"))
)
FIRST_YOUNG = Statement(select(_T.id).where(_T.code_expires_at >= bindparam("before")).order_by(_T.id).limit(1))
FORGET = Statement(
    delete(authorization_grant).where(_T.id < bindparam("first_kept"), _T.code_expires_at < bindparam("before"))
)
_PAST_ALL = 2**63 - 1


class GrantStore:
    """The table of grants. A spent code stays until long after its token ended, so that a replay is told as one."""

    def add(self, tx: Transaction, code_hash: bytes, grant: CodeGrant, code_expires_at: datetime) -> None:
        tx.add(
            INSERT,
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
            code_expires_at=code_expires_at,
        )

    def redeem(
        self,
        tx: Transaction,
        code_hash: bytes,
        client_id: str,
        *,
        token_hash: bytes,
        token_expires_at: datetime,
        now: datetime,
    ) -> tuple[CodeGrant, Standing] | None:
        """Spends the code for this token: of any number of callers one gets the grant, and whether its login stands.
        None for the others, and when the code is expired, unknown or another client's."""
        row = tx.one_or_none(
            REDEEM,
            which=code_hash,
            client=client_id,
            now=now,
            redeemed_at=now,
            token_hash=token_hash,
            token_expires_at=token_expires_at,
        )
        return None if row is None else (_grant(row), row[15])

    def was_redeemed(self, tx: Transaction, code_hash: bytes, client_id: str) -> bool:
        """Whether the client presented this code before."""
        return tx.one_or_none(WAS_REDEEMED, which=code_hash, client=client_id) is not None

    def revoke(self, tx: Transaction, code_hash: bytes, now: datetime) -> bool:
        """Ends the grant and its token. Whether this call is the one that did."""
        return tx.execute(REVOKE, which=code_hash, revoked_at=now) == 1

    def by_token(self, tx: Transaction, token_hash: bytes, now: datetime) -> AccessGrant | None:
        """What the token opens; None when unknown, expired or revoked."""
        row = tx.one_or_none(BY_TOKEN, token_hash=token_hash, now=now)
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
            standing=row[8],
        )

    def forget(self, tx: Transaction, before: datetime) -> int:
        """Deletes grants whose code expired before that moment, from the oldest up to the first that did not."""
        young = tx.one_or_none(FIRST_YOUNG, before=before)
        return tx.execute(FORGET, first_kept=_PAST_ALL if young is None else young[0], before=before)


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
