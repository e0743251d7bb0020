"""A running `citizenid demo` and what a test does to it from outside."""

import json
import os
import select
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.processes import run, start, stop_group, wait_until

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
_READY_S = 120


@dataclass(frozen=True, slots=True)
class Citizen:
    """A person of the demo."""

    name: str
    national_id: str
    card_number: str
    pin: str
    puk: str


@dataclass(frozen=True, slots=True)
class Demo:
    """info: the members of the ready line."""

    data: Path
    log: Path
    process: subprocess.Popen[bytes]
    info: dict[str, Any]
    put_back: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def issuer(self) -> str:
        return str(self.info["issuer"])

    @property
    def relying_party(self) -> str:
        return str(self.info["relying_party"])

    @property
    def bridge(self) -> str:
        return str(self.info["bridge"])

    @property
    def bridge_data(self) -> Path:
        return Path(self.info["bridge_data"])

    @property
    def citizens(self) -> tuple[Citizen, ...]:
        """The first one's card is in the reader."""
        names = ("name", "national_id", "card_number", "pin", "puk")
        return tuple(Citizen(*(str(member[name]) for name in names)) for member in self.info["citizens"])

    def client(self, method: str = "client_secret_basic") -> dict[str, Any]:
        """A registered client that authenticates in that way."""
        clients: list[dict[str, Any]] = self.info["clients"]
        return next(client for client in clients if client["token_endpoint_auth_method"] == method)

    def revoke(self, citizen: Citizen, reason: str) -> None:
        """Ends the certificates of a citizen's card by the operator's command. certificateHold suspends them."""
        verb = ["suspend"] if reason == "certificateHold" else ["revoke", "--reason", reason]
        run([BIN / "citizenid", "card", *verb, citizen.card_number, "--config", self.info["config"]])

    def publish_crl(self) -> None:
        """Makes and publishes the issuing authority's next CRL now."""
        config = ["--config", self.info["config"]]
        for authority in json.loads(run([BIN / "citizenid", "ca", "list", "--json", *config]).stdout):
            if authority["role"] == "issuing":
                run([BIN / "citizenid", "ca", "crl", "--authority", authority["slug"], *config])

    def forget_consents(self) -> None:
        """As if no citizen had ever allowed anything, so that the next login asks again."""
        with sqlite3.connect(self.data / "citizenid.db", timeout=10) as database:
            database.execute("DELETE FROM consent")
        database.close()

    @contextmanager
    def card_removed(self) -> Iterator[None]:
        """The virtual card is out of its reader for the block, then in it again."""
        pid = self._virtual_card()
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
        environment = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: _ended(pid), what="the card's removal")
        try:
            yield
        finally:
            again = start(command, log=self.log, stdout=subprocess.PIPE, env=environment)
            self.put_back.append(again)
            if again.stdout is None or not again.stdout.readline():
                raise AssertionError("the virtual card did not come back")

    def _virtual_card(self) -> int:
        """The process of the card in the reader: of the demo's process group, or put back by a test."""
        groups = {self.process.pid, *(process.pid for process in self.put_back)}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.getpgid(int(entry.name)) in groups and not _ended(int(entry.name)):
                    if "virtual-card" in (entry / "cmdline").read_text().split("\0"):
                        return int(entry.name)
            except (FileNotFoundError, ProcessLookupError):
                continue
        raise AssertionError("no virtual card runs in this demo")


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextmanager
def running_demo(folder: Path, *options: str) -> Iterator[Demo]:
    """Starts a demo with its data in `folder`, on free ports, and stops all of it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    data, log = folder / "data", folder / "demo.log"
    command = [BIN / "citizenid", "demo", "--data", data, "--json", *options]
    command += ["--port", "0", "--bridge-port", "0"]
    process = start(command, log=log, stdout=subprocess.PIPE, cwd=ROOT)
    put_back: list[subprocess.Popen[bytes]] = []
    try:
        yield Demo(data, log, process, _ready_line(process, log), put_back)
    finally:
        for card in put_back:
            stop_group(card)
        stop_group(process, grace_s=15)


def _ready_line(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    stdout = process.stdout
    deadline = time.monotonic() + _READY_S
    while stdout is not None and time.monotonic() < deadline:
        if select.select([stdout], [], [], 0.2)[0]:
            line = stdout.readline()
            if not line:
                break
            if line.startswith(b"{"):
                members: dict[str, Any] = json.loads(line)
                return members
    raise AssertionError(f"the demo did not become ready\n{log.read_text(errors='replace')[-3000:]}")
