"""What a bench runs against."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from idp.bench.card_login import SoftwareCard
from idp.bench.relying_party import Registration


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """A provider with its CA, its data in a database, ready to be served.

    serve: the command line of a server for it, with all its processes below it. cards: one for each citizen, all
    registered, certificates issued. registration: a client_secret_basic client that may ask for `openid profile`.
    """

    registration: Registration
    cards: tuple[SoftwareCard, ...]
    serve: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the country is to be like. database_url: of an empty database."""

    folder: Path
    database_url: str
    port: int
    citizens: int
    workers: int


FoundCountry = Callable[[Plan], Country]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for. database: sqlite, postgresql, or the URL of an empty PostgreSQL database."""

    database: str = "sqlite"
    seconds: float = 20.0
    rounds: int = 4
    concurrency: int = 4
    workers: int = 1
    warm_up_s: float = 3.0
    yardstick: bool = True
