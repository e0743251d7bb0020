"""The demo's card desk: a virtual reader, virtual cards, the bridge's data folder, and the bridge itself."""

import json
import shutil
from pathlib import Path
from typing import Any

from ca_core.cards.model import Card
from ca_core.cards.station import ProcessCardStation
from ca_core.kernel.rng import Rng
from ca_core.registration.model import Person
from ca_core.registration.service import random_digits
from idp.demo.founding import ACTOR
from idp.demo.people import DemoCitizen
from idp.demo.processes import Child, bridge_program, child_environment
from idp.demo.state import CitizenRecord
from idp.main.authority import CertificationAuthority

_LANG = "zh-TW"


class CardDesk:
    """Everything about cards that is another program's: started here, stopped by `close`.

    Readers: the first holds the first citizen's card while the demo runs, the second is where cards are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs = folder / "logs"
        self._logs.mkdir(exist_ok=True)
        self._children: list[Child] = []
        self.bridge_data = folder / "bridge"
        self.bridge_data.mkdir(exist_ok=True)
        ready = self._start("virtual-reader", "virtual-reader", "--data", str(folder / "reader"), "--json").ready()
        self._socket: str = ready["pcsc_socket"]
        self._ports: list[int] = ready["ports"]
        self._readers: list[str] = ready["readers"]

    def write_bridge_settings(self, *, port: int, providers: list[dict[str, Any]]) -> None:
        """The bridge's own folder: its port, the reader, and the providers whose statements it believes."""
        settings = f'port = {port}\npcsc_socket = "{self._socket}"\nminimum_interval_s = 0.0\n'
        (self.bridge_data / "bridge.toml").write_text(settings)
        text = json.dumps({"providers": providers}, ensure_ascii=False, indent=1)
        (self.bridge_data / "providers.json").write_text(text, encoding="utf-8")

    def make_card(
        self, ca: CertificationAuthority, citizen: DemoCitizen, person: Person, place: int, rng: Rng
    ) -> CitizenRecord:
        """A new card in the second reader: keys made on it, certificates issued, written and read back."""
        pin, puk = random_digits(rng, 6), random_digits(rng, 8)
        shutil.rmtree(self._card(place), ignore_errors=True)  # what a killed demo left half made
        inserted = self._insert(place, reader=1)
        command = [bridge_program(), "personalise", "--data", str(self.bridge_data), "--reader", self._readers[1]]
        cards = ca.cards()
        try:
            with ProcessCardStation(command) as station:
                made: Card = cards.personalise(
                    person.id, station, pin=pin, puk=puk, actor=ACTOR, algorithms=citizen.algorithms
                )
        finally:
            inserted.stop()
        cards.activate(made.card_number, ACTOR)
        return CitizenRecord(
            name=citizen.name, national_id=citizen.national_id, card_number=made.card_number, pin=pin, puk=puk
        )

    def insert_first_card(self) -> None:
        """The first citizen's card, into the first reader."""
        self._insert(0, reader=0)

    def start_bridge(self) -> str:
        """The bridge's address."""
        ready = self._start("bridge", "serve", "--data", str(self.bridge_data), "--json").ready()
        return str(ready["url"])

    def close(self) -> None:
        """Stops every program, the newest first."""
        for child in reversed(self._children):
            child.stop()

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

    def _start(self, name: str, *arguments: str) -> Child:
        child = Child(
            name,
            [bridge_program(), *arguments],
            log=self._logs / f"{name}.log",
            environment=child_environment(LC_ALL=_LANG.replace("-", "_") + ".UTF-8"),
        )
        self._children.append(child)
        return child
