"""The card's folder: whole after a loss of power, held by one process, readable by its owner alone."""

import json
import os
from pathlib import Path

import pytest

from card_bridge.virtual import CardFolderInUse, CardFolderUnreadable, FolderStore, VirtualCard
from card_bridge.virtual.store import FILE_NAME

SELECT = bytes.fromhex("00a4040009a0000003080000100000")
WRONG = bytes.fromhex("0020008008393939393939ffff")
TRIES = bytes.fromhex("00200080")


def test_counters_survive_in_the_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "card")
    card = VirtualCard(store)
    card.transmit(SELECT)
    card.transmit(WRONG)
    store.close()

    store = FolderStore(tmp_path / "card")
    again = VirtualCard(store)
    again.transmit(SELECT)
    assert again.transmit(TRIES).hex() == "63c2"
    store.close()


def test_the_folder_is_the_owners_alone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "card")
    VirtualCard(store)
    store.close()

    assert (tmp_path / "card").stat().st_mode & 0o077 == 0
    assert (tmp_path / "card" / FILE_NAME).stat().st_mode & 0o077 == 0


def test_one_process_at_a_time(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(CardFolderInUse):
        FolderStore(tmp_path)
    store.close()
    FolderStore(tmp_path).close()


def test_a_write_that_was_cut_off_leaves_the_old_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    card = VirtualCard(store)
    card.transmit(SELECT)
    before = (tmp_path / FILE_NAME).read_bytes()

    def cut(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", cut)
        with pytest.raises(KeyboardInterrupt):
            card.transmit(WRONG)

    assert (tmp_path / FILE_NAME).read_bytes() == before
    store.close()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', json.dumps({"format": 1, "serial": 1})])
def test_a_folder_of_something_else_is_no_card(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    store = FolderStore(tmp_path)
    with pytest.raises(CardFolderUnreadable):
        VirtualCard(store)
    assert (tmp_path / FILE_NAME).read_text() == content
    store.close()
