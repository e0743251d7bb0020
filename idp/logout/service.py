"""RP-initiated logout."""

from urllib.parse import quote

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from idp.clients.model import Client
from idp.clients.service import ClientRegistry
from idp.logout.errors import LogoutRefused
from idp.logout.model import ConfirmationNeeded, LoggedOut, LogoutCommand
from idp.oauth.subjects import PairwiseSubjects
from idp.provider_keys.errors import NotOurToken
from idp.provider_keys.hints import IdTokenHint, IdTokenHints
from idp.sessions.service import SessionService


class LogoutService:
    """Ends the browser's session at once where an ID token of that very session asks for it; else asks the person."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        registry: ClientRegistry,
        sessions: SessionService,
        subjects: PairwiseSubjects,
        hints: IdTokenHints,
        audit: AuditLog,
    ) -> None:
        self._database = database
        self._clock = clock
        self._registry = registry
        self._sessions = sessions
        self._subjects = subjects
        self._hints = hints
        self._audit = audit

    def begin(
        self, command: LogoutCommand, session_token: str | None, *, request_id: str = ""
    ) -> LoggedOut | ConfirmationNeeded:
        """session_token: the cookie's value, untrusted. Raises: LogoutRefused; then nothing was ended."""
        hint = self._hint(command)
        client = self._client(command, hint)
        url = _return_url(command, client)
        session = self._sessions.find(session_token)
        if hint is not None:
            if session is None:
                return LoggedOut(url=url)
            if hint.sid == self._subjects.sid(hint.client_id, session.id):
                self._end(session.id, session.person_id, client, request_id)
                return LoggedOut(url=url)
        fields = {"post_logout_redirect_uri": command.post_logout_redirect_uri, "state": command.state}
        if client is not None:
            fields["client_id"] = client.client_id
        return ConfirmationNeeded(
            client=client,
            fields={name: value for name, value in fields.items() if value},
            redirect_uri=command.post_logout_redirect_uri,
        )

    def confirm(self, command: LogoutCommand, session_token: str | None, *, request_id: str = "") -> LoggedOut:
        """The person said yes, on our own page. Raises: LogoutRefused."""
        client = self._client(command, None)
        url = _return_url(command, client)
        session = self._sessions.find(session_token)
        if session is not None:
            self._end(session.id, session.person_id, client, request_id)
        return LoggedOut(url=url)

    def _hint(self, command: LogoutCommand) -> IdTokenHint | None:
        """What the hint says; None where there is none or it is not ours, for then the person is asked."""
        if command.id_token_hint is None:
            return None
        try:
            return self._hints.read(command.id_token_hint)
        except NotOurToken:
            return None

    def _client(self, command: LogoutCommand, hint: IdTokenHint | None) -> Client | None:
        if hint is not None and command.client_id is not None and command.client_id != hint.client_id:
            raise LogoutRefused("client_id is not the one the id_token_hint was made for")
        client_id = command.client_id if hint is None else hint.client_id
        if client_id is None:
            return None
        client = self._registry.find(client_id)
        if client is None:
            raise LogoutRefused("unknown client")
        return client

    def _end(self, session_id: str, person_id: str, client: Client | None, request_id: str) -> None:
        event = AuditEvent(
            name="session.logged_out",
            actor=f"person:{person_id}",
            outcome=Outcome.OK,
            subject="" if client is None else f"client:{client.client_id}",
            request_id=request_id,
            detail={"session": session_id},
        )
        with self._database.write() as tx:
            if self._sessions.end_in(tx, session_id, self._clock()):
                self._audit.append(tx, event)


def _return_url(command: LogoutCommand, client: Client | None) -> str | None:
    """Where the browser goes afterwards: registered, character by character. Raises: LogoutRefused."""
    uri = command.post_logout_redirect_uri
    if uri is None:
        return None
    if client is None or uri not in client.post_logout_redirect_uris:
        raise LogoutRefused("post_logout_redirect_uri is not registered, or no client is named")
    if command.state is None:
        return uri
    separator = "&" if "?" in uri else "?"
    return f"{uri}{separator}state={quote(command.state, safe='')}"
