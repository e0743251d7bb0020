"""What a card login needs from other features, in the caller's transaction."""

from datetime import datetime
from typing import Protocol

from ca_core.kernel.database import Transaction
from idp.authn.model import Authentication
from idp.authorize.model import ConsentNeeded, Interaction, Redirect
from idp.sessions.model import Session


class LoginCertificate(Protocol):
    """A certificate whose path, profile, validity and status were found good."""

    @property
    def certificate_id(self) -> int: ...
    @property
    def person_id(self) -> str: ...
    @property
    def public_key(self) -> object: ...
    @property
    def status_source(self) -> str: ...
    @property
    def status_age_s(self) -> int: ...
    @property
    def not_after(self) -> datetime: ...


class LoginCertificates(Protocol):
    """The certification authority's word on a presented certificate."""

    def verify_for_login(self, tx: Transaction, unverified_certificate: bytes) -> LoginCertificate:
        """The certificate, if a citizen may log in with it now. Raises: CertificateRefused."""
        ...


class Persons(Protocol):
    """The register of citizens."""

    def find(self, tx: Transaction, person_id: str) -> object | None:
        """The person of this id, None where nobody is registered."""
        ...


class Sessions(Protocol):
    """Login sessions."""

    def start(
        self, tx: Transaction, authentication: Authentication, *, replaces: str | None = None
    ) -> tuple[Session, str]:
        """A new session and its cookie's token; the one that the browser held until now ends."""
        ...


class Interactions(Protocol):
    """The interaction that the login answers."""

    def interaction(self, interaction_id: str, browser_token: str) -> Interaction:
        """The live interaction of this id in this browser. Raises: InteractionError."""
        ...

    def authenticated_in(
        self, tx: Transaction, interaction: Interaction, session: Session, *, request_id: str = ""
    ) -> Redirect | ConsentNeeded:
        """Where the browser goes next. Raises: InteractionMovedOn, where another request was faster."""
        ...
