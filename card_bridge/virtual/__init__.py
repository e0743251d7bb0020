"""A virtual PIV card for virtual readers, for demos and tests.

What others call:
- `run_virtual_card(data: Path, reader: int = 0, *, port: int | None = None, plain: bool = False,
  inserted: bool = True, stop: threading.Event | None = None, on_running: Callable[[], None] | None = None) -> None`
  runs one card until `stop` is set; raises `CardFolderInUse` or `CardFolderUnreadable`.
- `PrivateReader(folder: Path | None = None, *, name: str = "Virtual PCD")`, a context manager: a pcscd of one's own
  with two virtual readers; `.ports`, `.names`, `.env` (for child processes); raises `ReaderUnavailable`.
- `available() -> str | None`: what is missing for a PrivateReader here.
- `InsertedCard(VirtualCard(store, profile), port)`, a context manager: a card in this process; `insert`, `remove`,
  `plan(Removal(...))`.
- `tell(folder, "insert" | "remove" | "state" | "remove-at 87 1 before")`: the same for a card in another process.
- `DirectReaders(name=DirectReader(VirtualCard()))`: readers without a reader service, for unit tests.
- `card_bridge.personalisation.run_personalise` puts keys and certificates on a card.
"""

from card_bridge.virtual.card import VirtualCard
from card_bridge.virtual.control import tell
from card_bridge.virtual.direct import DirectReader, DirectReaders
from card_bridge.virtual.faults import Moment, Removal
from card_bridge.virtual.profile import PLAIN_CARD, VENDOR_CARD, CardProfile
from card_bridge.virtual.reader import PrivateReader, ReaderUnavailable, available
from card_bridge.virtual.run import run_virtual_card
from card_bridge.virtual.store import CardFolderInUse, CardFolderUnreadable, FolderStore, MemoryStore
from card_bridge.virtual.vpcd import InsertedCard

__all__ = [
    "PLAIN_CARD",
    "VENDOR_CARD",
    "CardFolderInUse",
    "CardFolderUnreadable",
    "CardProfile",
    "DirectReader",
    "DirectReaders",
    "FolderStore",
    "InsertedCard",
    "MemoryStore",
    "Moment",
    "PrivateReader",
    "ReaderUnavailable",
    "Removal",
    "VirtualCard",
    "available",
    "run_virtual_card",
    "tell",
]
