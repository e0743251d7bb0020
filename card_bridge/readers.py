"""The way to cards that the settings name."""

from pathlib import Path

from card_bridge.piv.pcsc import PcscReaders
from card_bridge.piv.ports import CardReaders
from card_bridge.settings import BridgeSettings, prepare_libraries


def card_readers(settings: BridgeSettings) -> CardReaders:
    """PC/SC, the system's or a private one, or a PKCS#11 module."""
    prepare_libraries(settings)
    if settings.module is not None:
        from card_bridge.piv.pkcs11 import Pkcs11Readers  # only where it is used: the library is an extra

        return Pkcs11Readers(Path(settings.module))
    return PcscReaders()
