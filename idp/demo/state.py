"""What a demo remembers between runs: its ports, its citizens' codes, its clients' secrets."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ca_core.kernel.errors import DomainError


class FolderInUse(DomainError):
    """Another demo runs on this data folder."""

    code = "demo_folder_in_use"


class PortTaken(DomainError):
    """Something else listens on the wanted port."""

    code = "demo_port_taken"


@dataclass(kw_only=True, slots=True)
class CitizenRecord:
    """A citizen's card and its codes, which only a demo keeps."""

    name: str
    national_id: str
    card_number: str
    pin: str
    puk: str


@dataclass(kw_only=True, slots=True)
class ClientRecord:
    """A registered client and its secret."""

    client_id: str
    client_secret: str | None
    redirect_uris: list[str]
    token_endpoint_auth_method: str


@dataclass(kw_only=True, slots=True)
class State:
    """The whole memory. Saved after each step, so that a demo that was killed goes on where it was.

    clients_for: the sample relying party's origin when they were registered. desk: what holds the cards,
    "virtual-reader" or "soft-token"; cards of the one cannot be used in the other.
    """

    ports: dict[str, int] = field(default_factory=dict)
    citizens: list[CitizenRecord] = field(default_factory=list)
    clients: list[ClientRecord] = field(default_factory=list)
    clients_for: str = ""
    desk: str = ""

    @classmethod
    def load(cls, folder: Path) -> "State":
        path = folder / "demo.json"
        if not path.exists():
            return cls()
        members = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            ports=members["ports"],
            citizens=[CitizenRecord(**record) for record in members["citizens"]],
            clients=[ClientRecord(**record) for record in members["clients"]],
            clients_for=members["clients_for"],
            desk=members["desk"],
        )

    def save(self, folder: Path) -> None:
        partial = folder / "demo.json.partial"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, ensure_ascii=False, indent=1)
        partial.replace(folder / "demo.json")

    def port(self, name: str, wanted: int) -> int:
        """The port to use: the wanted one, or for 0 the one of the last run if it is free, else any.

        Raises: PortTaken.
        """
        if wanted:
            if not is_free(wanted):
                raise PortTaken(f"port {wanted}: give another one, or 0 for any that is free")
            self.ports[name] = wanted
        elif not self.ports.get(name) or not is_free(self.ports[name]):
            self.ports[name] = _any_free_port()
        return self.ports[name]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder for this process. Raises: FolderInUse."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUse(f"{folder} is another demo's; give --data another folder") from error
        yield


def is_free(port: int) -> bool:
    """Whether nothing listens on the port, on either loopback address."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            if family is socket.AF_INET6 and error.errno not in (98, 48):
                continue  # no IPv6 on this machine
            return False
    return True


def _any_free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if is_free(port):
            return port
