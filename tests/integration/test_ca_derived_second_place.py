"""What is derived from a certificate follows it through the second place: in a restore, and where a process died."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ca_core.backup.standing import verify_standing
from ca_core.issuance import KeyBlocked
from ca_core.issuance.checkpoint import Step, no_checkpoint
from ca_core.kernel.database import Database
from ca_core.kernel.second_place import Record
from ca_core.revocation import Change, RevocationReason
from support.derived import ACTOR, HOLD, LOG, Died, derived_request, history, scope
from support.fakes import FakeClock, SeededRng
from support.pki import citizen_request, new_key
from support.second_place import Guarded


@pytest.mark.parametrize("backed_up", ["before", "between"])
def test_a_restore_brings_back_who_follows_whom(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, clock: FakeClock, backed_up: str
) -> None:
    if backed_up == "before":
        guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    origin = guarded.issuance.issue(citizen_request())
    lost, followed = (guarded.issuance.issue(derived_request(origin, number)) for number in range(2))
    guarded.revocation.suspend(lost.authority_id, lost.serial, ACTOR)
    if backed_up == "between":
        guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    guarded.revocation.suspend(origin.authority_id, origin.serial, ACTOR)
    report = guarded.backups.restore(tmp_path / "backup", target_url, key_folder=tmp_path / "keys2", actor=ACTOR)
    assert (report.replay.changes, report.replay.uncertain) == (3 if backed_up == "before" else 2, 0)
    again = Guarded(target_url, tmp_path, restored, clock, SeededRng(5))
    again.revocation.resume(origin.authority_id, origin.serial, ACTOR)
    assert [history(restored, one)[-1][0] for one in (lost, followed)] == [Change.SUSPEND, Change.RESUME]
    again.revocation.revoke(origin.authority_id, origin.serial, RevocationReason.SUPERSEDED, ACTOR)
    assert [history(restored, one)[-1][0] for one in (lost, followed)] == [Change.REVOKE, Change.REVOKE]


class DiesAtACertificate:
    """The process that records a certificate dies between its journal and its commit."""

    def __init__(self, guarded: Guarded) -> None:
        self._journal = guarded.journal

    def append(self, records: Sequence[Record]) -> None:
        self._journal.append(records)
        if any(record["kind"] == "certificate" for record in records):
            raise Died


@pytest.mark.parametrize("resumed", ["before it is recorded", "afterwards"])
def test_a_status_that_came_with_a_record_that_never_was_is_on_no_list(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database, resumed: str
) -> None:
    """Recorded twice in the journal, suspended with its origin in the first record alone, or in both.

    Where the resumption took the number of the suspension that never was, it is uncertain, and left out: then what is
    derived follows the origin that stays suspended.
    """
    guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    origin = guarded.issuance.issue(citizen_request())
    request = derived_request(origin)
    records = guarded.issuance._records
    records._checkpoint = dies_after_intent
    with pytest.raises(Died):
        guarded.issuance.issue(request)
    records._checkpoint = no_checkpoint
    guarded.revocation.suspend(origin.authority_id, origin.serial, ACTOR)
    records._second_place = DiesAtACertificate(guarded)
    with pytest.raises(Died):
        guarded.issuance.recover()
    records._second_place = guarded.journal
    if resumed != "afterwards":
        guarded.revocation.resume(origin.authority_id, origin.serial, ACTOR)
    (derived,) = guarded.issuance.recover().recovered
    if resumed == "afterwards":
        guarded.revocation.resume(origin.authority_id, origin.serial, ACTOR)
    report = guarded.backups.restore(tmp_path / "backup", target_url, key_folder=tmp_path / "keys2", actor=ACTOR)
    with restored.read() as tx:
        sizes = LOG.measure(tx, scope(origin.authority_id, LOG.head(tx)))
    if resumed == "afterwards":
        assert history(restored, derived) == history(guarded.database, derived)
        assert (report.replay.resumptions_left_out, sizes) == (0, [])
    else:
        assert [history(restored, one) for one in (origin, derived)] == [
            [(Change.SUSPEND, HOLD, False)],
            [(Change.SUSPEND, HOLD, True)],
        ]
        assert (report.replay.resumptions_left_out, [size.entries for size in sizes]) == (1, [2])


def dies_after_intent(step: Step) -> None:
    if step is Step.INTENT_RECORDED:
        raise Died


def test_a_restore_brings_back_that_a_suspension_became_a_certificates_own(
    guarded: Guarded, tmp_path: Path, target_url: str, restored: Database
) -> None:
    guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    origin = guarded.issuance.issue(citizen_request())
    lost = guarded.issuance.issue(derived_request(origin))
    guarded.revocation.suspend(origin.authority_id, origin.serial, ACTOR)
    guarded.revocation.suspend(lost.authority_id, lost.serial, ACTOR)
    guarded.revocation.resume(origin.authority_id, origin.serial, ACTOR)
    guarded.backups.restore(tmp_path / "backup", target_url, key_folder=tmp_path / "keys2", actor=ACTOR)
    assert history(restored, lost) == [(Change.SUSPEND, HOLD, True), (Change.SUSPEND, HOLD, False)]


class Dying:
    """The process dies between its journal and its commit."""

    def __init__(self, guarded: Guarded) -> None:
        self._journal = guarded.journal

    def append(self, records: Sequence[Record]) -> None:
        self._journal.append(records)
        raise Died


def test_a_start_that_puts_a_revocation_right_blocks_its_key(guarded: Guarded, clock: FakeClock) -> None:
    key = new_key()
    origin = guarded.issuance.issue(citizen_request(key=key))
    derived = guarded.issuance.issue(derived_request(origin))
    guarded.revocation._second_place = Dying(guarded)
    with pytest.raises(Died):
        guarded.revocation.revoke(origin.authority_id, origin.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    guarded.revocation._second_place = guarded.journal
    assert history(guarded.database, origin) == []
    verify_standing(guarded.database, guarded.journal, guarded.world.audit, clock)
    assert history(guarded.database, origin)[-1][0] is Change.REVOKE
    assert history(guarded.database, derived)[-1] == (Change.REVOKE, RevocationReason.PRIVILEGE_WITHDRAWN, True)
    with pytest.raises(KeyBlocked):
        guarded.issuance.issue(citizen_request("again", key=key))


@pytest.mark.parametrize("noticed", ["at the start", "by a restore"])
def test_what_was_derived_after_a_revocation_that_was_never_committed_follows_it(
    guarded: Guarded, clock: FakeClock, tmp_path: Path, target_url: str, restored: Database, noticed: str
) -> None:
    guarded.backups.create(tmp_path / "backup", actor=ACTOR)
    origin = guarded.issuance.issue(citizen_request())
    guarded.revocation._second_place = Dying(guarded)
    with pytest.raises(Died):
        guarded.revocation.revoke(origin.authority_id, origin.serial, RevocationReason.SUPERSEDED, ACTOR)
    guarded.revocation._second_place = guarded.journal
    derived = guarded.issuance.issue(derived_request(origin))
    assert history(guarded.database, derived) == []
    if noticed == "at the start":
        verify_standing(guarded.database, guarded.journal, guarded.world.audit, clock)
        database = guarded.database
    else:
        guarded.backups.restore(tmp_path / "backup", target_url, key_folder=tmp_path / "keys2", actor=ACTOR)
        database = restored
    assert [history(database, one)[-1][:2] for one in (origin, derived)] == [
        (Change.REVOKE, RevocationReason.SUPERSEDED)
    ] * 2
