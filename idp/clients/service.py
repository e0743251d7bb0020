"""The registry of clients."""

from datetime import datetime, timedelta

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Conflict
from ca_core.kernel.rng import Rng, random_token
from idp.clients.errors import ClientExists, RegistrationRefused
from idp.clients.model import (
    Client,
    ClientRegistration,
    RegisteredClient,
    TokenEndpointAuthMethod,
    registration_faults,
    sector_identifier_of,
)
from idp.clients.store import ClientStore
from idp.oauth.hashing import token_hash

CACHE_TTL = timedelta(seconds=1)
CACHE_SIZE = 1_024
_MAX_ID = 64


class ClientRegistry:
    """Clients by id, remembered for at most a second, so that a change made elsewhere is seen within one."""

    def __init__(self, database: Database, clock: Clock, rng: Rng, audit: AuditLog) -> None:
        self._database = database
        self._clock = clock
        self._rng = rng
        self._audit = audit
        self._store = ClientStore()
        self._cache: dict[str, tuple[Client, datetime]] = {}

    def find(self, client_id: str) -> Client | None:
        """The client of this untrusted id, or None."""
        now = self._clock()
        cached = self._cache.get(client_id)
        if cached is not None and now < cached[1]:
            return cached[0]
        if not client_id or len(client_id) > _MAX_ID:
            return None
        with self._database.read() as tx:
            client = self._store.by_id(tx, client_id)
        if client is None:
            self._cache.pop(client_id, None)
            return None
        if len(self._cache) >= CACHE_SIZE:
            self._cache.clear()
        self._cache[client_id] = (client, now + CACHE_TTL)
        return client

    def all(self) -> list[Client]:
        """Every client, by id."""
        with self._database.read() as tx:
            return self._store.all(tx)

    def register(self, asked: ClientRegistration, *, actor: str) -> RegisteredClient:
        """Adds a client. Its secret is 256 random bits, handed out here and never again.

        actor: for the audit log, e.g. `operator:<id>`. Raises: RegistrationRefused, ClientExists.
        """
        faults = registration_faults(asked)
        if faults:
            raise RegistrationRefused(faults)
        is_public = asked.token_endpoint_auth_method is TokenEndpointAuthMethod.NONE
        secret = None if is_public else random_token(self._rng)
        client = Client(
            client_id=asked.client_id or random_token(self._rng, 16),
            name=asked.name,
            purpose=asked.purpose,
            application_type=asked.application_type,
            redirect_uris=asked.redirect_uris,
            post_logout_redirect_uris=asked.post_logout_redirect_uris,
            token_endpoint_auth_method=asked.token_endpoint_auth_method,
            secret_hash=None if secret is None else token_hash(secret),
            scopes=tuple(sorted(set(asked.scopes))),
            sector_identifier=sector_identifier_of(asked),
            id_token_signed_response_alg=asked.id_token_signed_response_alg,
            created_at=self._clock(),
        )
        registered = AuditEvent(
            name="client.registered", actor=actor, outcome=Outcome.OK, subject=f"client:{client.client_id}"
        )
        try:
            with self._database.write() as tx:
                self._store.add(tx, client)
                self._audit.append(tx, registered)
        except Conflict as error:
            raise ClientExists(client.client_id) from error
        return RegisteredClient(client=client, client_secret=secret)
