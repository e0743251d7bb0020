"""Virtual readers of one's own: a pcscd that serves this program and those it starts, and nobody else.

pcscd is started with a socket that we bind and hand over, and a reader file that names vpcd's driver and free ports, so
several run side by side, beside the system's own too, and stop without a trace. Programs find it by the environment
variable PCSCLITE_CSOCK_NAME (`PrivateReader.env`), which libpcsclite reads once, when a process first uses it.

pcscd binds vpcd's ports on all addresses, not on loopback alone, and says so to nobody: whoever reaches them can put a
card of theirs into the reader. They are for demos and tests; firewall them where strangers share the network.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

SOCKET_VARIABLE: Final = "PCSCLITE_CSOCK_NAME"
_PLACES: Final = ("/usr/sbin", "/sbin", "/usr/local/sbin")
_DRIVER_NAME: Final = "libifdvpcd.so"
_DRIVER_FOLDERS: Final = ("/usr/lib/pcsc/drivers/serial", "/usr/local/lib/pcsc/drivers/serial")
# vpcd keeps its readers in one array of two, whatever the reader file says.
READERS: Final = 2
_ATTEMPTS: Final = 5
_START_S: Final = 10.0
_STOP_S: Final = 5.0
_HIGHEST_PORT: Final = 65_000
# pcscd wants the socket as descriptor 3, and its own process id in the environment. The reader beside it ends it when
# this program dies without a word; a line on the pipe tells it that there is nothing left to end.
_HAND_OVER: Final = """
lifeline=$1; shift
{ read -r word || kill -TERM $$; } < "/dev/fd/$lifeline" &
exec 3<&0 0</dev/null
LISTEN_FDS=1 LISTEN_PID=$$; export LISTEN_FDS LISTEN_PID
exec "$@"
"""


class ReaderUnavailable(Exception):
    """A virtual reader cannot be had here; the text says what is missing, or what pcscd said."""


def available() -> str | None:
    """None where a virtual reader can be started, else what is missing, in words for a person."""
    if _pcscd() is None:
        return "pcscd is not installed (Debian package pcscd)"
    if _driver() is None:
        return "the driver of the virtual reader, vpcd, is not installed (Debian package vsmartcard-vpcd)"
    return None


class PrivateReader:
    """A running pcscd with two empty virtual readers. A context manager; `start` and `stop` do the same.

    folder: where its files go; a temporary one that is removed afterwards if None.
    ports: one for each reader, in the order of `names`, for `card_bridge.virtual.vpcd.InsertedCard`.
    env: what a child process needs in its environment to see these readers and no others.
    """

    def __init__(self, folder: Path | None = None, *, name: str = "Virtual PCD") -> None:
        self._given_folder = folder
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary: Path | None = None
        self._log: IO[bytes] | None = None
        self._lifeline: IO[bytes] | None = None
        self.ports: tuple[int, ...] = ()
        self.socket_path = Path()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def env(self) -> Mapping[str, str]:
        return {SOCKET_VARIABLE: str(self.socket_path)}

    @property
    def names(self) -> tuple[str, ...]:
        """The readers' names as PC/SC lists them, in the order of `ports`."""
        return tuple(f"{self._name} 00 {place:02d}" for place in range(READERS))

    def start(self) -> None:
        """Returns once the readers can be used. Raises: ReaderUnavailable."""
        missing = available()
        if missing is not None:
            raise ReaderUnavailable(missing)
        # The socket's path may have at most 107 octets, so it never goes into a deep folder of the caller's.
        self._temporary = Path(tempfile.mkdtemp(prefix="cardreader-"))
        folder = self._given_folder or self._temporary
        folder.mkdir(parents=True, exist_ok=True)
        self.socket_path = self._temporary / "pcscd"
        said = ""
        for _ in range(_ATTEMPTS):
            self.ports = _free_ports(READERS)
            self._launch(folder)
            if self._wait_ready():
                return
            said = _last_words(folder / "pcscd.log")
            self._terminate()
        self.stop()
        raise ReaderUnavailable(f"pcscd does not start: {said}")

    def stop(self) -> None:
        """Ends pcscd and removes its socket; may be called again."""
        self._terminate()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _launch(self, folder: Path) -> None:
        configuration = folder / "reader.conf"
        configuration.write_text(_device(self._name, self.ports[0]))
        self.socket_path.unlink(missing_ok=True)
        self._log = (folder / "pcscd.log").open("wb")
        program = [str(_pcscd()), "--foreground", "--config", str(configuration)]
        lifeline, kept = os.pipe()
        self._lifeline = os.fdopen(kept, "wb", buffering=0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(str(self.socket_path))
            self.socket_path.chmod(0o600)
            listening.listen()
            self._process = subprocess.Popen(  # noqa: S603 - a fixed program with paths of our own
                ["/bin/sh", "-c", _HAND_OVER, "sh", str(lifeline), *program],
                stdin=listening.fileno(),
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=(lifeline,),
                start_new_session=True,
            )
        os.close(lifeline)

    def _wait_ready(self) -> bool:
        """Whether pcscd, which stays alive, has opened every port within the time."""
        deadline = time.monotonic() + _START_S
        pause = threading.Event()
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                return False
            if set(self.ports) <= listening_ports(self._process.pid):
                return True
            pause.wait(0.02)
        return False

    def _terminate(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._lifeline is not None:
            self._lifeline.write(b"\n")
            self._lifeline.close()
            self._lifeline = None
        if self._log is not None:
            self._log.close()
            self._log = None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _device(name: str, port: int) -> str:
    return f'FRIENDLYNAME "{name}"\nDEVICENAME /dev/null:0x{port:X}\nLIBPATH {_driver()}\nCHANNELID 0x{port:X}\n\n'


def _pcscd() -> str | None:
    return shutil.which("pcscd") or shutil.which("pcscd", path=os.pathsep.join(_PLACES))


def _driver() -> Path | None:
    found = (Path(folder) / _DRIVER_NAME for folder in _DRIVER_FOLDERS)
    return next((path for path in found if path.exists()), None)


def _free_ports(count: int) -> tuple[int, ...]:
    """Neighbouring ports that nobody listens on at this moment. Raises: ReaderUnavailable."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("", 0))
            first: int = probe.getsockname()[1]
        if first < _HIGHEST_PORT and all(_is_free(first + place) for place in range(count)):
            return tuple(range(first, first + count))
    raise ReaderUnavailable("no free ports for the virtual readers")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def listening_ports(pid: int) -> set[int]:
    """The TCP ports on which this process listens. Connecting to find out would put a card in."""
    inodes = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = descriptor.readlink().name
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        return set()
    ports = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " / ".join(lines[-3:]) or "it said nothing"
