"""Starting a demo: found what is missing, start what runs beside, serve."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvloop
from starlette.types import ASGIApp

from ca_core.kernel.database import sqlite_url
from ca_core.kernel.logs import configure_logs
from ca_core.kernel.rng import Rng, system_rng
from ca_core.kernel.settings import load_settings
from idp.demo.card_desk import CardDesk, SoftTokenDesk, VirtualReaderDesk
from idp.demo.clients import register_clients
from idp.demo.configuration import ISSUING, ROOT, ROOT_FILE, DemoPlaces, write_configuration
from idp.demo.founding import found_authority, found_provider_keys
from idp.demo.people import CITIZENS, ensure_registered
from idp.demo.processes import ChildFailed
from idp.demo.relying_party.client import Registration, RelyingParty
from idp.demo.relying_party.web import relying_party_app
from idp.demo.serving import Site, serve_sites
from idp.demo.state import State, locked
from idp.demo.tls import server_context
from idp.main.app import provider_app, validation_authority_app
from idp.main.authority import CertificationAuthority
from idp.main.provider import Provider

Say = Callable[[str], None]


def run_demo(
    folder: Path, *, port: int, bridge_port: int, tls: bool, say: Say, ready: Callable[[dict[str, Any]], None]
) -> None:
    """Runs until a signal. say: progress, a line each. ready: gets the members of the `--json` line.

    Raises: FolderInUse, PortTaken, ChildFailed, and what founding raises; then nothing is left running.
    """
    configure_logs("warning", human=True)
    with ExitStack() as stack:
        stack.enter_context(locked(folder))
        demo = Demo(folder, State.load(folder), port=port, bridge_port=bridge_port, tls=tls, say=say, rng=system_rng)
        stack.callback(demo.close)
        sites = demo.prepare()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_sites(sites, lambda: ready(demo.description())))


class Demo:
    """One demo on one folder. Everything in it is real but the people and the plastic."""

    def __init__(
        self, folder: Path, state: State, *, port: int, bridge_port: int, tls: bool, say: Say, rng: Rng
    ) -> None:
        self._folder = folder.resolve()
        self._state = state
        self._say = say
        self._rng = rng
        self._tls = tls
        self._port = state.port("issuer", port)
        self._pki_port = state.port("pki", 0) if tls else self._port
        self._relying_party_port = state.port("relying_party", 0)
        self._bridge_port = state.port("bridge", bridge_port)
        self._issuer = f"{'https' if tls else 'http'}://localhost:{self._port}"
        self._relying_party = f"http://localhost:{self._relying_party_port}"
        self._pki = f"http://127.0.0.1:{self._pki_port}/pki"
        self._bridge = f"http://127.0.0.1:{self._bridge_port}"
        self._desk: CardDesk | None = None
        self._tls_ca: Path | None = None
        state.save(self._folder)

    def prepare(self) -> list[Site]:
        """Founds the country, makes what cards are missing, starts the bridge. Returns what is to be served."""
        places = DemoPlaces(
            issuer=self._issuer,
            port=self._port,
            bridge_origin=self._bridge,
            pki_base_url=self._pki,
            database_url=sqlite_url(self._folder / "citizenid.db"),
        )
        ca = CertificationAuthority(load_settings(write_configuration(self._folder, places, self._rng)))
        self._say("founding the certification authority")
        found_authority(ca, self._folder)
        found_provider_keys(ca)
        provider = Provider(ca)
        self._desk = self._open_desk()
        self._desk.write_bridge_settings(port=self._bridge_port, providers=[self._pinned(provider)])
        self._make_cards(ca, self._desk)
        self._desk.insert_first_card()
        self._desk.start_bridge()
        self._register_clients(provider)
        return self._sites(ca, provider)

    def close(self) -> None:
        if self._desk is not None:
            self._desk.close()

    def description(self) -> dict[str, Any]:
        """The members of the ready line (docs: the README's section on the demo)."""
        found: dict[str, Any] = {
            "issuer": self._issuer,
            "relying_party": self._relying_party,
            "bridge": self._bridge,
            "bridge_data": str(self._folder / "bridge"),
            "config": str(self._folder / "citizenid.toml"),
            "pki": {
                "ocsp": f"{self._pki}/ocsp",
                "crl": [f"{self._pki}/crl/{slug}.crl" for slug in (ROOT, ISSUING)],
                "ca_certificates": [f"{self._pki}/ca/{slug}.cer" for slug in (ROOT, ISSUING)],
            },
            "clients": [asdict(client) for client in self._state.clients],
            "citizens": [asdict(citizen) for citizen in self._state.citizens],
        }
        if self._tls_ca is not None:
            found["tls_ca"] = str(self._tls_ca)
        return found

    def _open_desk(self) -> CardDesk:
        """The virtual reader, or what stands in for it."""
        if self._state.desk != "soft-token":
            self._say("starting the virtual card reader")
            try:
                desk: CardDesk = VirtualReaderDesk(self._folder)
            except ChildFailed as missing:
                if self._state.citizens:
                    raise
                self._say(f"no virtual reader ({missing.detail}); a PKCS#11 soft token stands in for cards")
                self._state.desk = "soft-token"
            else:
                self._state.desk = "virtual-reader"
                return desk
        return SoftTokenDesk(self._folder)

    def _make_cards(self, ca: CertificationAuthority, desk: CardDesk) -> None:
        registration = ca.registration()
        for place, citizen in enumerate(CITIZENS):
            if place < len(self._state.citizens):
                continue
            self._say(f"making a card for {citizen.name}")
            person = ensure_registered(registration, citizen)
            self._state.citizens.append(desk.make_card(ca, citizen, person, place, self._rng))
            self._state.save(self._folder)

    def _register_clients(self, provider: Provider) -> None:
        if self._state.clients_for != self._relying_party:
            self._state.clients = register_clients(provider.registry, self._relying_party)
            self._state.clients_for = self._relying_party
            self._state.save(self._folder)

    def _pinned(self, provider: Provider) -> dict[str, Any]:
        trust = {"tls_ca": str(self._folder / ROOT_FILE)} if self._tls else {}
        return {
            **trust,
            "origin": self._issuer,
            "issuer": self._issuer,
            "name": {"zh-TW": "自然人憑證登入(示範)", "en": "Citizen Certificate Login (demo)"},
            "jwks": provider.statements.keys.to_jwks(),
        }

    def _sites(self, ca: CertificationAuthority, provider: Provider) -> list[Site]:
        context = server_context(ca, self._folder) if self._tls else None
        sites = [Site(app=provider_app(ca, provider), port=self._port, tls=context)]
        if self._tls:
            self._tls_ca = self._folder / ROOT_FILE
            sites.append(Site(app=validation_authority_app(ca), port=self._pki_port))
        return [*sites, Site(app=self._sample(), port=self._relying_party_port)]

    def _sample(self) -> ASGIApp:
        client = self._state.clients[0]
        registration = Registration(
            issuer=self._issuer,
            client_id=client.client_id,
            client_secret=client.client_secret or "",
            redirect_uri=client.redirect_uris[0],
            post_logout_redirect_uri=f"{self._relying_party}/",
            scope="openid profile age",
        )
        verify = str(self._tls_ca) if self._tls_ca is not None else True
        party = RelyingParty(registration, self._rng, verify=verify)
        return relying_party_app(party, origin=self._relying_party, rng=self._rng)
