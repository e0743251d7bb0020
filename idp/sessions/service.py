"""Starting, finding and ending sessions."""

from datetime import datetime, timedelta

from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.rng import Rng, random_token
from idp.oauth.hashing import token_hash
from idp.sessions.model import Authentication, Session, SessionLimits, Standing
from idp.sessions.ports import SessionCertificates
from idp.sessions.store import SessionStore


class SessionService:
    """Sessions of browsers. A cookie's token is 256 random bits, new at each login; only its hash is stored."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        rng: Rng,
        certificates: SessionCertificates,
        limits: SessionLimits | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._rng = rng
        self._certificates = certificates
        self._limits = limits or SessionLimits()
        self._store = SessionStore()

    def start(
        self, tx: Transaction, authentication: Authentication, *, replaces: str | None = None
    ) -> tuple[Session, str]:
        """A new session and the token for its cookie.

        replaces: the token that the browser's cookie held until now (untrusted). That session ends here, so that a
        token planted before the login is worth nothing after it.
        """
        now = self._clock()
        if replaces:
            self._store.end_by_token(tx, token_hash(replaces), now)
        absolute = now + timedelta(seconds=self._limits.absolute_s)
        session = Session(
            id=random_token(self._rng, 16),
            person_id=authentication.person_id,
            acr=authentication.acr,
            amr=authentication.amr,
            auth_time=authentication.auth_time,
            certificate_id=authentication.certificate_id,
            method=authentication.method,
            statement_digest=authentication.statement_digest,
            status_source=authentication.status_source,
            status_age_s=authentication.status_age_s,
            last_used_at=now,
            expires_at=absolute if authentication.not_after is None else min(absolute, authentication.not_after),
        )
        token = random_token(self._rng)
        self._store.add(tx, session, token_hash(token))
        return session, token

    def find(self, cookie_token: str | None) -> Session | None:
        """The live session of this cookie. One whose certificate is no longer good is ended here, and None."""
        if not cookie_token:
            return None
        with self._database.read() as tx:
            found = self._store.by_token(tx, token_hash(cookie_token))
            now = self._clock()
            if found is None or not found[0].is_live(now, self._limits):
                return None
            session, latest_change = found
            good = self._certificates.is_good(tx, session.certificate_id, latest_change)
        if good and not self._is_stale(session, now):
            return session
        with self._database.write() as tx:
            return self.find_in(tx, cookie_token, now)

    def find_in(self, tx: Transaction, cookie_token: str | None, now: datetime) -> Session | None:
        """`find` inside the caller's write transaction."""
        if not cookie_token:
            return None
        found = self._store.by_token(tx, token_hash(cookie_token))
        if found is None or not found[0].is_live(now, self._limits):
            return None
        session, latest_change = found
        if not self._certificates.is_good(tx, session.certificate_id, latest_change):
            self._store.end(tx, session.id, now)
            return None
        if self._is_stale(session, now):
            self._store.touch(tx, session.id, now)
        return session

    def is_open(self, tx: Transaction, session_id: str, certificate_id: int, now: datetime) -> bool:
        """Whether what was issued from this session still stands: not ended, and its certificate good."""
        return self.stands(tx, self._store.standing(tx, session_id, now), certificate_id)

    def stands(self, tx: Transaction, standing: Standing, certificate_id: int) -> bool:
        """`is_open`, from what the caller's own statement read just now (`idp.sessions.standing`)."""
        return standing is not None and self._certificates.is_good(tx, certificate_id, standing)

    def end(self, session_id: str) -> bool:
        """Whether this call is the one that ended it."""
        with self._database.write() as tx:
            return self.end_in(tx, session_id, self._clock())

    def end_in(self, tx: Transaction, session_id: str, now: datetime) -> bool:
        """`end` inside the caller's transaction."""
        return self._store.end(tx, session_id, now)

    def forget_expired(self) -> int:
        """Deletes sessions that passed their absolute limit a day ago or longer."""
        with self._database.write() as tx:
            return self._store.forget(tx, self._clock() - timedelta(days=1))

    def _is_stale(self, session: Session, now: datetime) -> bool:
        """Whether its last use is worth writing down again."""
        return now >= session.last_used_at + timedelta(seconds=self._limits.touch_s)
