"""`card-bridge personalise`: a station that another program drives by JSON lines."""

from pathlib import Path
from typing import BinaryIO, Final

from card_bridge.personalisation import protocol
from card_bridge.personalisation.errors import BadRequest
from card_bridge.personalisation.model import FactorySecrets, Order
from card_bridge.personalisation.piv_card import PivReaders, ReaderBench
from card_bridge.personalisation.ports import Bench
from card_bridge.personalisation.station import Station
from card_bridge.piv.errors import CardError, NoReader
from card_bridge.piv.model import Slot
from card_bridge.piv.pcsc import PcscReaders

PATIENCE_S: Final = 10.0


def run_personalise(
    *,
    stdin: BinaryIO,
    stdout: BinaryIO,
    reader: str | None = None,
    pkcs11_module: Path | None = None,
    readers: PivReaders | None = None,
    patience_s: float = PATIENCE_S,
) -> int:
    """Obeys orders until `stdin` ends: 0, or 1 after the first that failed.

    reader: the reader's name, or with `pkcs11_module` the token's label; the only filled one if None.
    patience_s: how long to wait for a card that is only just being put in.
    """
    try:
        station = Station(_bench(reader, pkcs11_module, readers, patience_s))
    except CardError as error:
        return _fail(stdout, error)
    while line := stdin.readline(protocol.LINE_LIMIT + 1):
        try:
            if len(line) > protocol.LINE_LIMIT:
                raise BadRequest("the line is too long")
            answer = _obey(station, protocol.parse_line(line))
        except CardError as error:
            return _fail(stdout, error)
        stdout.write(answer)
        stdout.flush()
    return 0


def _fail(stdout: BinaryIO, error: CardError) -> int:
    stdout.write(protocol.failed(error))
    stdout.flush()
    return 1


def _obey(station: Station, request: Order | dict[Slot, bytes]) -> bytes:
    if isinstance(request, Order):
        return protocol.generated(station.generate(request))
    return protocol.written(station.write(request))


def _bench(reader: str | None, pkcs11_module: Path | None, readers: PivReaders | None, patience_s: float) -> Bench:
    if pkcs11_module is not None:
        try:
            from card_bridge.personalisation.soft_token import SoftTokenBench
        except ImportError as error:
            raise NoReader("python-pkcs11 is not installed") from error
        return SoftTokenBench(pkcs11_module, reader)
    return ReaderBench(readers or PcscReaders(), reader, FactorySecrets(), patience_s=patience_s)
