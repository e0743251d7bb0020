"""The real application of the role `all` over a founded country, in this process, for hostile requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ca_core.kernel.database import sqlite_url
from ca_core.kernel.settings import load_settings
from idp.bench.model import Country, Plan
from idp.demo.bench_country import found_country
from idp.main.app import provider_app
from idp.main.authority import CertificationAuthority
from idp.main.provider import Provider
from support.hostile_http import Server

PORT = 8_000
"""In the issuer's name and so in the cookies'; nothing listens there."""


@dataclass(frozen=True, slots=True)
class HostileCountry:
    country: Country
    server: Server

    @property
    def issuer(self) -> str:
        return self.country.registration.issuer


@contextmanager
def found(folder: Path, database_url: str | None = None) -> Iterator[HostileCountry]:
    """A country with one citizen and one relying party. database_url: empty; SQLite in the folder by default."""
    url = database_url or sqlite_url(folder / "country.db")
    country = found_country(Plan(folder=folder, database_url=url, port=PORT, citizens=1, workers=1))
    ca = CertificationAuthority(load_settings(folder / "citizenid.toml"))
    server = Server(provider_app(ca, Provider(ca)))
    try:
        yield HostileCountry(country=country, server=server)
    finally:
        server.close()
        ca.close()
