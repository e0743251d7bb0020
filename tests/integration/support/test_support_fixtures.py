"""The fixtures keep what they promise."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import column, select

from ca_core.kernel.database import Database, Statement
from support.fakes import START, FakeClock, SeededRng
from support.processes import ComponentMissing, required_program, run, started, wait_until
from support.softhsm import SoftHsm

ONE = Statement(select(column("1", is_literal=True)))


def test_database_answers_on_both_kinds(database: Database) -> None:
    with database.read() as tx:
        assert tx.one_or_none(ONE) == (1,)


def test_clock_stands_still_and_moves_when_told(clock: FakeClock) -> None:
    assert clock() == clock.now == START
    assert clock.advance(60) == clock() == START + timedelta(seconds=60)
    with pytest.raises(ValueError, match="zone"):
        clock.set(START.replace(tzinfo=None))


def test_rng_repeats_between_runs_only(rng: SeededRng) -> None:
    first = rng(16)
    assert first != rng(16)
    assert first == SeededRng()(16)


def test_softhsm_shows_the_token(softhsm: SoftHsm) -> None:
    shown = run([required_program("pkcs11-tool"), "--module", softhsm.module, "--list-slots"]).stdout
    assert softhsm.token_label in shown


def test_a_missing_program_is_a_failure() -> None:
    with pytest.raises(ComponentMissing, match="make setup"):
        required_program("no-such-program")


def test_the_whole_group_ends_with_the_block(tmp_path: Path) -> None:
    log, child = tmp_path / "log", tmp_path / "child"
    with started(["sh", "-c", f"sleep 60 & echo $! > {child}; wait"], log=log):
        wait_until(lambda: child.exists() and child.read_text().strip() != "", what="the child")
        pid = int(child.read_text())
        os.kill(pid, 0)
    wait_until(lambda: not _alive(pid), what="the end of the grandchild")


def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time; sys.path.insert(0, 'tests'); from support.processes import start; "
        "p = start(['sleep', '60'], log=pathlib.Path(sys.argv[1])); print(p.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", what="the child's program")
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not _alive(pid), what="the end of the orphan")


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
