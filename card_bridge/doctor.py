"""A self-test that names what is missing between this computer and a login."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from card_bridge.errors import ConfigurationError
from card_bridge.piv.errors import CardError, NoReader
from card_bridge.piv.model import ReaderState
from card_bridge.piv.ports import CardReaders
from card_bridge.readers import card_readers
from card_bridge.server.listener import bind_loopback
from card_bridge.settings import BridgeSettings, read_data
from card_bridge.web_eid.service import LOGIN_SLOT

DRIVER_FOLDERS = ("/usr/lib/pcsc/drivers", "/usr/local/lib/pcsc/drivers", "/usr/lib64/pcsc/drivers")
DRIVERS = ("*.bundle", "serial/*.so")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """name: of the thing looked for, and of its texts in the catalogue. detail: what was found."""

    name: str
    ok: bool
    detail: str

    def to_wire(self) -> dict[str, object]:
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


def examine(folder: Path, *, port: int | None = None) -> Iterator[Check]:
    """Every check in the order in which a person would mend things. Never raises, never asks for a PIN."""
    settings = BridgeSettings()
    try:
        data = read_data(folder)
    except ConfigurationError as error:
        yield Check(name="data", ok=False, detail=error.detail)
    else:
        settings = data.settings
        yield Check(name="data", ok=True, detail=str(folder))
        origins = ", ".join(provider.origin for provider in data.providers)
        yield Check(name="providers", ok=len(data.providers) > 0, detail=origins)
    yield check_port(settings.port if port is None else port)
    if settings.module is not None:
        yield Check(name="module", ok=Path(settings.module).is_file(), detail=settings.module)
    else:
        yield check_driver()
    yield from check_cards(card_readers(settings), settings)


def check_port(port: int) -> Check:
    """Free, or a bridge of ours already has it."""
    try:
        chosen, sockets = bind_loopback(port)
    except ConfigurationError as error:
        ours = _is_bridge(port)
        return Check(name="port", ok=ours, detail=f"{port}: a card bridge is running" if ours else error.detail)
    for listener in sockets:
        listener.close()
    return Check(name="port", ok=True, detail=str(chosen))


def check_driver() -> Check:
    """A driver for readers, where PC/SC looks for them; Windows and macOS bring their own."""
    if not sys.platform.startswith("linux"):
        return Check(name="driver", ok=True, detail="part of the system")
    found = sorted(path.name for folder in DRIVER_FOLDERS for shape in DRIVERS for path in Path(folder).glob(shape))
    return Check(name="driver", ok=bool(found), detail=", ".join(found))


def check_cards(readers: CardReaders, settings: BridgeSettings) -> Iterator[Check]:
    """The service, the readers, and whether a card can log in."""
    try:
        states = [state for state in readers.list() if state.is_meant_by(settings.reader)]
    except NoReader as error:
        yield Check(name="pcscd", ok=False, detail=error.detail)
        return
    except CardError as error:
        yield Check(name="pcscd", ok=False, detail=error.detail)
        return
    yield Check(name="pcscd", ok=True, detail=settings.pcsc_socket or "")
    yield Check(name="reader", ok=bool(states), detail=", ".join(state.name for state in states))
    if states:
        yield _check_card(readers, states)


def _check_card(readers: CardReaders, states: list[ReaderState]) -> Check:
    findings: list[str] = []
    usable = False
    for state in states:
        if state.card_present:
            try:
                with readers.connect(state.name) as card:
                    has_certificate = card.certificate(LOGIN_SLOT) is not None
                    findings.append(f"{state.name}: {card.card_number() or 'no card number'}")
                    usable = usable or has_certificate
            except CardError as error:
                findings.append(f"{state.name}: {error.code}")
    return Check(name="card", ok=usable, detail=", ".join(findings) or "no_card")


def _is_bridge(port: int) -> bool:
    """Whether what listens there refuses a call without an Origin in the way that a bridge does."""
    try:
        answer = httpx2.get(f"http://127.0.0.1:{port}/v1/status", timeout=2.0, trust_env=False)
        return answer.status_code == 403 and answer.json().get("code") == "origin_not_allowed"
    except (httpx2.HTTPError, ValueError, AttributeError):
        return False
