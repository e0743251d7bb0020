"""The demo's card desk: cards, something that holds them, the bridge's data folder, and the bridge itself.

Everything here is another program's, started as a process. `VirtualReaderDesk` is the real thing, a virtual card in a
virtual reader; `SoftTokenDesk` stands in for it where pcscd or its driver is not installed.
"""

import json
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from ca_core.cards.model import Card
from ca_core.cards.station import ProcessCardStation
from ca_core.kernel.rng import Rng
from ca_core.registration.model import Person
from ca_core.registration.service import random_digits
from idp.demo.founding import ACTOR
from idp.demo.people import DemoCitizen
from idp.demo.processes import Child, ChildFailed, bridge_program, child_environment
from idp.demo.state import CitizenRecord
from idp.main.authority import CertificationAuthority

_LOCALE = "zh_TW.UTF-8"
_SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


class CardDesk(ABC):
    """What the demo does with cards. Programs that it started end with `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs = folder / "logs"
        self._logs.mkdir(exist_ok=True)
        self._children: list[Child] = []
        self.bridge_data = folder / "bridge"
        self.bridge_data.mkdir(exist_ok=True)

    def write_bridge_settings(self, *, port: int, providers: list[dict[str, Any]]) -> None:
        """The bridge's own folder: its port, its way to the cards, the providers whose statements it believes."""
        members = {"port": port, **self._way_to_cards()}
        lines = [f"{name} = {json.dumps(value)}" for name, value in members.items()]
        (self.bridge_data / "bridge.toml").write_text("\n".join(lines) + "\n")
        text = json.dumps({"providers": providers}, ensure_ascii=False, indent=1)
        (self.bridge_data / "providers.json").write_text(text, encoding="utf-8")

    def make_card(
        self, ca: CertificationAuthority, citizen: DemoCitizen, person: Person, place: int, rng: Rng
    ) -> CitizenRecord:
        """A new card: keys made on it, certificates issued, written and read back."""
        pin, puk = random_digits(rng, 6), random_digits(rng, 8)
        blank = self._take_blank(place)
        command = [bridge_program(), "personalise", "--data", str(self.bridge_data), "--reader", self._maker(place)]
        cards = ca.cards()
        try:
            with ProcessCardStation(command) as station:
                made: Card = cards.personalise(
                    person.id, station, pin=pin, puk=puk, actor=ACTOR, algorithms=citizen.algorithms
                )
        finally:
            if blank is not None:
                blank.stop()
        cards.activate(made.card_number, ACTOR)
        return CitizenRecord(
            name=citizen.name, national_id=citizen.national_id, card_number=made.card_number, pin=pin, puk=puk
        )

    def start_bridge(self) -> str:
        """The bridge's address."""
        ready = self._start("bridge", "serve", "--data", str(self.bridge_data), "--json").ready()
        return str(ready["url"])

    def close(self) -> None:
        """Stops every program, the newest first."""
        for child in reversed(self._children):
            child.stop()

    @abstractmethod
    def insert_first_card(self) -> None:
        """Puts the first citizen's card where the bridge finds it."""

    @abstractmethod
    def _way_to_cards(self) -> dict[str, str]:
        """What bridge.toml says of it."""

    @abstractmethod
    def _take_blank(self, place: int) -> Child | None:
        """A card without keys, ready to be made; the program that is to be stopped afterwards, if there is one."""

    @abstractmethod
    def _maker(self, place: int) -> str:
        """The name by which the station finds that card."""

    def _start(self, name: str, *arguments: str) -> Child:
        child = Child(
            name,
            [bridge_program(), *arguments],
            log=self._logs / f"{name}.log",
            environment=child_environment(LC_ALL=_LOCALE),
        )
        self._children.append(child)
        return child


class VirtualReaderDesk(CardDesk):
    """A pcscd of the demo's own with two virtual readers: the first citizen's card in one, cards are made in the other.

    Raises: ChildFailed, where pcscd or vpcd's driver is missing.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ready = self._start("virtual-reader", "virtual-reader", "--data", str(folder / "reader"), "--json").ready()
        self._socket: str = ready["pcsc_socket"]
        self._ports: list[int] = ready["ports"]
        self._readers: list[str] = ready["readers"]

    def insert_first_card(self) -> None:
        self._insert(0, reader=0)

    def _way_to_cards(self) -> dict[str, str]:
        return {"pcsc_socket": self._socket}

    def _take_blank(self, place: int) -> Child:
        shutil.rmtree(self._card(place), ignore_errors=True)  # what a killed demo left half made
        return self._insert(place, reader=1)

    def _maker(self, place: int) -> str:
        return self._readers[1]

    def _insert(self, place: int, *, reader: int) -> Child:
        card = self._card(place)
        card.mkdir(parents=True, exist_ok=True)
        child = self._start(
            f"card-{place}", "virtual-card", "--data", str(card), "--port", str(self._ports[reader]), "--json"
        )
        child.ready()
        return child

    def _card(self, place: int) -> Path:
        return self._folder / "cards" / str(place)


class SoftTokenDesk(CardDesk):
    """Tokens of SoftHSM instead of cards, one a citizen; the bridge is shown the first alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not _SOFTHSM.exists():
            raise ChildFailed("neither pcscd with vpcd nor SoftHSM is installed: `make setup` installs them")
        self._tokens = folder / "tokens"
        self._tokens.mkdir(exist_ok=True, mode=0o700)
        self._configuration = folder / "softhsm2.conf"
        self._configuration.write_text(f"directories.tokendir = {self._tokens}\nobjectstore.backend = file\n")

    def insert_first_card(self) -> None:
        """A token is always there."""

    def _way_to_cards(self) -> dict[str, str]:
        return {"module": str(_SOFTHSM), "softhsm2_conf": str(self._configuration), "reader": self._maker(0)}

    def _take_blank(self, place: int) -> None:
        """The station makes the token."""

    def _maker(self, place: int) -> str:
        return f"Citizen card {place + 1}"
