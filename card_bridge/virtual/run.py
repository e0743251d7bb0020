"""`card-bridge virtual-card`: one virtual card in one virtual reader until somebody ends it."""

import threading
from collections.abc import Callable
from pathlib import Path

from card_bridge.virtual.card import VirtualCard
from card_bridge.virtual.control import controlled
from card_bridge.virtual.profile import PLAIN_CARD, VENDOR_CARD
from card_bridge.virtual.store import FolderStore
from card_bridge.virtual.vpcd import FIRST_PORT, InsertedCard


def run_virtual_card(
    data: Path,
    reader: int = 0,
    *,
    port: int | None = None,
    plain: bool = False,
    inserted: bool = True,
    stop: threading.Event | None = None,
    on_running: Callable[[], None] | None = None,
) -> None:
    """Runs until `stop` is set (or KeyboardInterrupt), then pulls the card out.

    data: the card's folder, made with a new card if empty. reader: counted from 0, on vpcd's usual ports; `port` names
    the port itself, as for a `PrivateReader`. plain: a new card is one without its vendor's extensions. inserted:
    whether the card starts in the reader; `card_bridge.virtual.control.tell(data, "insert")` puts it in later.
    on_running: called once commands are obeyed.
    Raises: CardFolderInUse, CardFolderUnreadable (`card_bridge.virtual.store`).
    """
    stop = stop or threading.Event()
    store = FolderStore(data)
    try:
        card = InsertedCard(
            VirtualCard(store, PLAIN_CARD if plain else VENDOR_CARD), FIRST_PORT + reader if port is None else port
        )
        with controlled(card, data):
            if inserted:
                card.insert()
            try:
                if on_running is not None:
                    on_running()
                stop.wait()
            finally:
                card.remove()
    finally:
        store.close()
