"""The drill: it agrees where nothing is missing, fails where anything is, and takes nobody's database."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ca_core.backup.drill import run_drill
from ca_core.backup.errors import DrillFailed, TargetNotEmpty
from ca_core.issuance import CertificateStore, IssuedCertificate
from ca_core.kernel.database import Database
from ca_core.kernel.second_place import Record
from ca_core.revocation import RevocationReason
from support.fakes import FakeClock, SeededRng
from support.second_place import Guarded, request_of


def issue(guarded: Guarded, number: int) -> IssuedCertificate:
    return guarded.issuance.issue(request_of(number))


def revoke(guarded: Guarded, issued: IssuedCertificate) -> None:
    guarded.revocation.revoke(guarded.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, "operator:1")


def test_the_drill_agrees_and_says_what_it_compared(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, clock: FakeClock
) -> None:
    for number in range(3):
        revoke(guarded, issue(guarded, number))
    report = run_drill(guarded.backups, guarded.url, target_url, clock=clock, actor="operator:1")
    assert (report.changes, report.certificates, report.crl_entries, report.authorities) == (3, 5, 3, 2)
    assert set(report.seconds) == {"create", "restore", "compare", "audit_chain"}
    assert report.differences == ()


def test_a_drill_into_a_database_that_holds_something_leaves_it_as_it_is(
    guarded: Guarded, tmp_path: Path, clock: FakeClock
) -> None:
    """Were it the live one that somebody named as the scratch place, the drill would have to end there."""
    issued = issue(guarded, 1)
    with pytest.raises(TargetNotEmpty):
        run_drill(guarded.backups, guarded.url, guarded.url, clock=clock, actor="operator:1")
    again = Database.open(guarded.url)
    try:
        with again.read() as tx:
            assert CertificateStore().find(tx, issued.authority_id, issued.serial) is not None
    finally:
        again.dispose()


def test_the_drill_fails_where_a_revocation_never_reached_the_second_place(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, clock: FakeClock
) -> None:
    issued = issue(guarded, 1)
    original = guarded.backups.create

    def create_then_revoke(target: Path, *, actor: str) -> object:
        manifest = original(target, actor=actor)
        bare = Guarded(guarded.url, tmp_path, guarded.database, clock, SeededRng(3), second_place=Keeps())
        revoke(bare, issued)
        return manifest

    guarded.backups.create = create_then_revoke  # type: ignore[method-assign, assignment]  # a revocation meanwhile
    with pytest.raises(DrillFailed):
        run_drill(guarded.backups, guarded.url, target_url, clock=clock, actor="operator:1")


def test_the_drill_fails_where_a_layout_never_reached_the_second_place(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, clock: FakeClock
) -> None:
    original = guarded.backups.create

    def create_then_introduce(target: Path, *, actor: str) -> object:
        manifest = original(target, actor=actor)
        guarded.shards.introduce(
            guarded.authority_id, "citizen-g1", count=2, publication_url="http://one.example.tw/pki", actor="operator:1"
        )
        return manifest

    guarded.backups.create = create_then_introduce  # type: ignore[method-assign, assignment]  # a layout meanwhile
    guarded.shards._second_place = Keeps()
    with pytest.raises(DrillFailed) as failed:
        run_drill(guarded.backups, guarded.url, target_url, clock=clock, actor="operator:1")
    assert failed.value.detail == f"shard layout 1 of authority {guarded.authority_id}"


class Keeps:
    """A second place that says yes and keeps nothing."""

    def append(self, records: Sequence[Record]) -> None:
        pass
