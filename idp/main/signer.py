"""The role `ca`: the signer's port, from settings."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp

from ca_core.authorities.model import AuthorityRole
from ca_core.cards.model import Card
from ca_core.cards.store import CardStore
from ca_core.kernel.database import Transaction
from ca_core.kernel.errors import ConfigurationError, DomainError
from ca_core.kernel.settings import CaPort, Settings, read_secret
from ca_core.kernel.web.security import RequestId, SecurityHeaders
from ca_core.registration.model import Person
from ca_core.registration.store import PersonStore
from ca_core.signer.callers import CallerRegister
from ca_core.signer.model import CallerRole, Grant, Grants, Operation
from ca_core.signer.service import SignerService
from ca_core.signer.tls import TlsFiles, server_context, server_options
from ca_core.signer.web import signer_app
from ca_core.status import ocsp_store
from ca_core.timestamp import store as timestamp_store
from idp.main.authority import CertificationAuthority
from idp.main.continuity import verify_database


class SignerRecords:
    """`ca_core.signer`: what the other roles wrote down before they ask."""

    def __init__(self) -> None:
        self._cards = CardStore()
        self._persons = PersonStore()

    def card(self, tx: Transaction, card_number: str) -> Card | None:
        return self._cards.find(tx, card_number)

    def person(self, tx: Transaction, person_id: str) -> Person | None:
        return self._persons.find(tx, person_id)

    def orders(self, tx: Transaction, authority_id: int) -> Sequence[str]:
        return [*ocsp_store.open_orders(tx, authority_id), *timestamp_store.open_orders(tx, authority_id)]


def signer_service(ca: CertificationAuthority) -> SignerService:
    """The port's service. Raises: ConfigurationError, without the port's settings."""
    port = _port(ca.settings)
    grants = _grants(port)
    return SignerService(
        database=ca.database,
        callers=CallerRegister(
            database=ca.database,
            authorities=ca.registry,
            certificates=ca.certificates,
            status=ca.status,
            clock=ca.clock,
            authority=port.client_authority,
            grants=grants,
        ),
        grants=grants,
        authorities=ca.registry,
        records=SignerRecords(),
        issuance=ca.issuance,
        lists=ca.crls,
        key_health=lambda: key_states(ca),
        audit=ca.audit,
        card_authority=ca.settings.card_authority,
    )


def signer_application(
    ca: CertificationAuthority,
    metrics_text: Callable[[], bytes],
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]],
) -> ASGIApp:
    """What the role `ca` serves. Raises: ConfigurationError, also where the TLS files cannot be used."""
    server_context(_files(_port(ca.settings)))
    checks = {"database": lambda: verify_database(ca), "keys": lambda: verify_keys(ca)}
    app = signer_app(signer_service(ca), checks, metrics_text, lifespan)
    return RequestId(SecurityHeaders(app, https=True), rng=ca.rng)


def signer_server_options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is to be told for the role `ca`: mutual TLS by the port's files. Raises: ConfigurationError."""
    return server_options(_files(_port(settings)))


def key_states(ca: CertificationAuthority) -> Mapping[str, str]:
    """Whether each authority's key can be used now: "ok" or an error's code, by slug."""
    states = {}
    for authority in ca.registry.all():
        try:
            ca.key_store.private_key(authority.key_label)
            states[authority.slug] = "ok"
        except DomainError as error:
            states[authority.slug] = error.code
    return states


def verify_keys(ca: CertificationAuthority) -> None:
    """Raises: KeyNotFound, KeyStoreFault, Unavailable, where an issuing authority's key cannot be used; roots may be
    offline."""
    now = ca.clock()
    for authority in ca.registry.all():
        if authority.role is AuthorityRole.ISSUING and now < authority.certificate.not_valid_after_utc:
            ca.key_store.private_key(authority.key_label)


def _port(settings: Settings) -> CaPort:
    if settings.ca_port is None:
        raise ConfigurationError("ca_port: is missing")
    return settings.ca_port


def _files(port: CaPort) -> TlsFiles:
    read_secret(port.key_file, min_octets=1)  # refused where others may read it
    return TlsFiles(certificate=port.certificate_file, key=port.key_file, trusted=port.trusted_root_file)


def _grants(port: CaPort) -> Grants:
    known = {operation.value for operation in Operation}
    unknown = sorted({name for client in port.clients.values() for name in client.operations} - known)
    if unknown:
        raise ConfigurationError(
            f"ca_port.clients: no such operations: {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    return {
        CallerRole(role): Grant(
            operations=frozenset(Operation(name) for name in client.operations), key_pins=frozenset(client.key_pins)
        )
        for role, client in port.clients.items()
    }
