"""Issuance and ceremonies in a process that is killed between any two steps, and what a new process makes of it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from sqlalchemy import select

from ca_core.audit.store import events
from ca_core.issuance.checkpoint import Step
from ca_core.issuance.store import certificates, intents
from ca_core.kernel.database import Database, Row, Statement
from ca_core.keys import SoftwareKeyStore
from support.fakes import FakeClock, SeededRng
from support.pki import World, ceremony, citizen_request
from support.pki_child import PASSPHRASE, REQUEST_ID

TESTS = Path(__file__).parents[1]
INTENTS = Statement(select(intents.c.request_id, intents.c.authority_id, intents.c.serial, intents.c.completed_at))
CERTIFICATES = Statement(
    select(certificates.c.request_id, certificates.c.authority_id, certificates.c.serial, certificates.c.der)
)
ISSUED_EVENTS = Statement(select(events.c.request_id).where(events.c.name == "certificate.issued"))


def child(url: str, folder: Path, action: str, count: int, clock: FakeClock) -> int:
    """The exit status of a child that dies at the count-th step (or does not, where there are fewer)."""
    command = [sys.executable, "-m", "support.pki_child", url, str(folder), action, str(count), clock.now.isoformat()]
    return subprocess.run(command, cwd=TESTS, check=False, timeout=60).returncode


def rows(database: Database, statement: Statement) -> list[Row]:
    with database.read() as tx:
        return tx.all(statement)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng, folder: Path) -> World:
    return World(database, clock, rng, key_store=SoftwareKeyStore(folder, PASSPHRASE))


def verify_that_nothing_is_lost(database: Database, world: World) -> None:
    """Each intent has its one certificate and event, signed over its octets; no serial of an authority stands twice."""
    known_intents, known_certificates = rows(database, INTENTS), rows(database, CERTIFICATES)
    assert all(row[3] is not None for row in known_intents)
    assert sorted(row[:3] for row in known_intents) == sorted(row[:3] for row in known_certificates)
    assert len({row[1:3] for row in known_intents}) == len(known_intents)
    assert sorted(row[0] for row in rows(database, ISSUED_EVENTS)) == sorted(row[0] for row in known_intents)
    by_id = {authority.id: authority for authority in world.registry.all()}
    for _, authority_id, serial, der in known_certificates:
        certificate = x509.load_der_x509_certificate(bytes(der))
        certificate.verify_directly_issued_by(by_id[authority_id].certificate)
        assert certificate.serial_number == int(serial, 16)


@pytest.mark.parametrize("step", list(Step))
def test_a_killed_issuance_is_carried_out_by_the_next_process(
    database: Database, database_url: str, clock: FakeClock, world: World, folder: Path, step: Step
) -> None:
    world.hold(ceremony())
    before = rows(database, INTENTS)
    count = list(Step).index(step) + 1
    assert child(database_url, folder, "issue", count, clock) == -signal.SIGKILL
    left = [row for row in rows(database, INTENTS) if row not in before]
    report = world.issuance.recover()
    assert report.stuck == ()
    committed = step not in (Step.CHECKED, Step.LINTED, Step.INTENT_WRITTEN)
    assert len(left) == committed
    assert [f"{c.serial:040x}" for c in report.recovered] == [row[2] for row in left if row[3] is None]
    assert bool(report.recovered) == (committed and step is not Step.RECORDED)
    verify_that_nothing_is_lost(database, world)
    assert world.issuance.recover().recovered == ()


@pytest.mark.parametrize("step", [Step.INTENT_WRITTEN, Step.SIGNED, Step.AUDITED])
def test_a_request_repeated_after_a_kill_gets_the_certificate_that_was_intended(
    database: Database, database_url: str, clock: FakeClock, rng: SeededRng, world: World, folder: Path, step: Step
) -> None:
    world.hold(ceremony())
    request = citizen_request(REQUEST_ID)

    class Killed(Exception):
        pass

    def checkpoint(reached: Step) -> None:
        if reached is step:
            raise Killed

    dying = World(database, clock, rng, key_store=world.key_store, checkpoint=checkpoint)
    with pytest.raises(Killed):
        dying.issuance.issue(request)
    intended = [row[2] for row in rows(database, INTENTS) if row[0] == REQUEST_ID]
    clock.advance(86_400)
    issued = world.issuance.issue(request)
    assert not intended or intended == [f"{issued.serial:040x}"]
    assert world.issuance.issue(request) == issued
    verify_that_nothing_is_lost(database, world)


# Nine checkpoints an authority: 1 when the root's key was made, 4 when its intent was recorded, 9 when its certificate
# was and the root is not yet active, 10 when the issuing authority's key was made, 18 when all but the end is recorded.
@pytest.mark.parametrize("count", [1, 4, 9, 10, 18])
def test_a_killed_ceremony_is_finished_by_the_same_file(
    database: Database, database_url: str, clock: FakeClock, world: World, folder: Path, count: int
) -> None:
    assert child(database_url, folder, "ceremony", count, clock) == -signal.SIGKILL
    record = world.hold(ceremony())
    assert record.authorities == ("root-g1", "citizen-g1")
    assert sorted(path.name for path in folder.glob("*.pem")) == ["citizen-g1.pem", "root-g1.pem"]
    assert [authority.slug for authority in world.registry.all()] == ["root-g1", "citizen-g1"]
    verify_that_nothing_is_lost(database, world)
    assert world.issuance.issue(citizen_request()).serial
