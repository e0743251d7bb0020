"""The journal: chained, torn, cut, altered, away, full."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ca_core.backup.errors import JournalExists, JournalFault
from ca_core.backup.journal import Journal, found_journal
from ca_core.kernel.second_place import SecondPlaceUnavailable
from support.bounded_files import files_bounded
from support.fakes import SeededRng


@pytest.fixture
def folder(tmp_path: Path, rng: SeededRng) -> Path:
    found_journal(tmp_path / "second", rng)
    return tmp_path / "second"


def record(number: int) -> dict[str, str | int | None]:
    return {"kind": "status", "seq": number, "actor": "王", "shard": None}


def numbers(journal: Journal) -> list[int]:
    return [int(found["seq"] or 0) for found in journal.records(journal.start())]


def test_what_was_appended_is_read_back_in_order_from_any_place(folder: Path) -> None:
    journal = Journal(folder)
    journal.append([record(1), record(2)])
    place = journal.place()
    Journal(folder).append([record(3)])
    journal.append([record(4)])
    assert numbers(journal) == [1, 2, 3, 4]
    assert [found["seq"] for found in journal.records(place)] == [3, 4]
    assert place.count == 2
    assert journal.place().count == 4


def test_a_new_file_is_begun_and_the_chain_goes_on(folder: Path) -> None:
    journal = Journal(folder, segment_bytes=300)
    for number in range(1, 21):
        journal.append([record(number)])
    assert len(list(folder.glob("*.log"))) > 3
    assert numbers(Journal(folder)) == list(range(1, 21))
    middle = sorted(folder.glob("*.log"))[1]
    middle.unlink()
    with pytest.raises(JournalFault):
        numbers(Journal(folder))


def test_files_before_a_backup_may_be_taken_away(folder: Path) -> None:
    journal = Journal(folder, segment_bytes=300)
    for number in range(1, 11):
        journal.append([record(number)])
    place = journal.place()
    for path in sorted(folder.glob("*.log")):
        if int(path.stem) < place.segment:
            path.unlink()
    journal.append([record(11)])
    assert [found["seq"] for found in Journal(folder).records(place)] == [11]


@pytest.mark.parametrize("kept", [1, 40, 64, 70])
def test_a_torn_last_line_is_cut_off_by_the_next_writer(folder: Path, kept: int) -> None:
    journal = Journal(folder)
    journal.append([record(1)])
    (log,) = folder.glob("*.log")
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:kept])
    assert numbers(Journal(folder)) == [1]
    Journal(folder).append([record(2)])
    assert numbers(Journal(folder)) == [1, 2]


def test_only_a_torn_line_leaves_an_empty_journal(folder: Path) -> None:
    (folder / "00000001.log").write_bytes(b"abc")
    Journal(folder).append([record(1)])
    assert numbers(Journal(folder)) == [1]


def test_a_large_batch_before_a_torn_line(folder: Path) -> None:
    journal = Journal(folder)
    journal.append([record(number) | {"tbs": "x" * 3_000} for number in range(1, 101)])
    log = folder / "00000001.log"
    log.write_bytes(log.read_bytes() + b"0123")
    Journal(folder).append([record(101)])
    assert numbers(Journal(folder)) == list(range(1, 102))


@pytest.mark.parametrize("at", [3, 80, -3])
def test_an_altered_octet_is_found(folder: Path, at: int) -> None:
    journal = Journal(folder)
    journal.append([record(1), record(2)])
    log = folder / "00000001.log"
    octets = bytearray(log.read_bytes())
    octets[at] ^= 1
    log.write_bytes(octets)
    with pytest.raises(JournalFault):
        numbers(Journal(folder))


def test_a_journal_that_was_cut_or_is_another_is_refused(folder: Path, tmp_path: Path) -> None:
    journal = Journal(folder)
    journal.append([record(1)])
    first = journal.place()
    journal.append([record(2)])
    place = journal.place()
    log = folder / "00000001.log"
    log.write_bytes(log.read_bytes()[: first.offset])
    with pytest.raises(JournalFault):
        list(Journal(folder).records(place))
    Journal(folder).append([record(9)])
    with pytest.raises(JournalFault):
        list(Journal(folder).records(place))
    found_journal(tmp_path / "other", SeededRng(7))
    with pytest.raises(JournalFault):
        list(Journal(tmp_path / "other").records(place))
    with pytest.raises(JournalFault):
        list(Journal(folder).records(replace(first, hash="0" * 64)))


def test_an_empty_mount_point_is_no_second_place(tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    for folder in (tmp_path / "mount", tmp_path / "nothing"):
        with pytest.raises(SecondPlaceUnavailable):
            Journal(folder).append([record(1)])
    assert list((tmp_path / "mount").iterdir()) == []


def test_a_folder_is_founded_once(folder: Path, rng: SeededRng) -> None:
    marker = json.loads((folder / "journal.json").read_bytes())
    with pytest.raises(JournalExists):
        found_journal(folder, rng)
    assert json.loads((folder / "journal.json").read_bytes()) == marker


def test_a_full_second_place_keeps_nothing_of_what_it_refuses(folder: Path) -> None:
    journal = Journal(folder)
    journal.append([record(1)])
    before = (folder / "00000001.log").read_bytes()
    with files_bounded(len(before) + 50), pytest.raises(SecondPlaceUnavailable):
        journal.append([record(2)])
    assert (folder / "00000001.log").read_bytes() == before
    journal.append([record(3)])
    assert numbers(journal) == [1, 3]


def test_eight_threads_make_one_chain(folder: Path) -> None:
    barrier = threading.Barrier(8)

    def work(start: int) -> None:
        journal = Journal(folder, segment_bytes=2_000)
        barrier.wait(10)
        for number in range(start, start + 5):
            journal.append([record(number)])

    threads = [threading.Thread(target=work, args=(10 * index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found = numbers(Journal(folder))
    assert sorted(found) == sorted(10 * index + offset for index in range(8) for offset in range(5))
    assert Journal(folder).place().count == 40
