"""Private readers side by side: each its own, none left behind, and a clear word where there can be none."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from bridge_card_kit import Bench, child_of, finished_card, wait_for

from card_bridge.virtual import PrivateReader, ReaderUnavailable, available, run_virtual_card, tell
from card_bridge.virtual import reader as reader_module
from card_bridge.virtual.reader import listening_ports


def test_two_side_by_side_see_their_own_cards_alone() -> None:
    card, _ = finished_card()
    with PrivateReader() as one, PrivateReader() as other, child_of(one) as first, child_of(other) as second:
        assert not set(one.ports) & set(other.ports)
        assert one.socket_path != other.socket_path
        with Bench(one, first).inserted(card):
            assert first.submit(wait_for, one.names[0], present=True).result()
            assert second.submit(wait_for, other.names[0], present=False).result()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    reader = PrivateReader(tmp_path / "reader")
    reader.start()
    folder = reader.socket_path.parent
    assert folder.exists()
    reader.stop()
    reader.stop()

    assert not folder.exists()
    assert (tmp_path / "reader" / "reader.conf").exists()
    again = PrivateReader(tmp_path / "reader")
    again.start()
    again.stop()


def test_a_program_that_dies_takes_its_pcscd_along() -> None:
    program = (
        "import sys, time; from card_bridge.virtual import PrivateReader; reader = PrivateReader(); reader.start();"
        "print(*reader.ports, reader.socket_path, flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    *ports, socket_path = child.stdout.readline().split()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not all(reader_module._is_free(int(port)) for port in ports):
        time.sleep(0.05)
    assert all(reader_module._is_free(int(port)) for port in ports)
    for path in Path(socket_path).parent.iterdir():
        path.unlink()
    Path(socket_path).parent.rmdir()


@pytest.mark.parametrize("part", ["_pcscd", "_driver"])
def test_what_is_missing_is_named(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert available() is None
    monkeypatch.setattr(reader_module, part, lambda: None)

    missing = available()

    assert missing is not None and "not installed (Debian package" in missing
    with pytest.raises(ReaderUnavailable, match="not installed"):
        PrivateReader().start()


def test_a_pcscd_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "pcscd"
    broken.write_text("#!/bin/sh\necho no libusb here >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(reader_module, "_pcscd", lambda: str(broken))

    with pytest.raises(ReaderUnavailable, match="no libusb here"):
        PrivateReader().start()


def test_a_virtual_card_in_its_folder_obeys(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / "card"
    stop, running = threading.Event(), threading.Event()
    with PrivateReader() as reader, child_of(reader) as worker:
        assert listening_ports(os.getpid()).isdisjoint(reader.ports)
        thread = threading.Thread(
            target=run_virtual_card,
            args=(folder,),
            kwargs={"port": reader.ports[1], "inserted": False, "stop": stop, "on_running": running.set},
        )
        thread.start()
        try:
            assert running.wait(10)
            assert tell(folder, "state") == "removed"
            assert tell(folder, "insert") == "ok"
            assert worker.submit(wait_for, reader.names[1], present=True).result()
            assert tell(folder, "state") == "inserted"
            assert tell(folder, "remove-at 87 1 after") == "ok"
            assert tell(folder, "remove") == "ok"
            assert worker.submit(wait_for, reader.names[1], present=False).result()
            for nonsense in ("", "eat", "remove-at", "remove-at zz", "remove-at any many", "remove-at any 1 never"):
                assert tell(folder, nonsense).startswith("error")
        finally:
            stop.set()
            thread.join()
    with pytest.raises(OSError, match="No such file"):
        tell(folder, "state")
