"""The published log on both databases: checkpoints, witnesses, copies that verify offline, and every way to tamper."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, update
from starlette.applications import Starlette
from typer.testing import CliRunner

from ca_core.audit import (
    AuditError,
    AuditEvent,
    AuditLog,
    AuditLogFault,
    AuditSequencer,
    LogForked,
    NoteRefused,
    Outcome,
    ProofRefused,
    WitnessRefused,
    store,
    tree_store,
    verify_log,
)
from ca_core.audit.append_only import protection_statements, removal_statements
from ca_core.audit.checkpoint import parse_checkpoint
from ca_core.audit.errors import FaultKind
from ca_core.audit.folder import export_log, open_log_files, openings
from ca_core.audit.log_key import SoftwareLogKey
from ca_core.audit.merkle import leaf_node, verify_consistency, verify_inclusion
from ca_core.audit.note import COSIGNATURE_V1, VerifierKey, cosign, parse_note
from ca_core.audit.offline import OfflineReport, verify_copy
from ca_core.audit.published import PublishedLog
from ca_core.audit.publisher import CheckpointPublisher
from ca_core.audit.tiles import parse_tile_path
from ca_core.audit.web import routes
from ca_core.audit.witnesses import Witnesses
from ca_core.kernel.database import Database, Statement
from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.web.hop import Hop
from idp.commands.audit_log import app
from support import log_child
from support.asgi import AsgiTransport
from support.fakes import FakeClock, SeededRng

ORIGIN = "pki.example/pki/log"
PASSPHRASE = b"a passphrase of tests"
ACTOR = "operator:test"


@dataclass
class Log:
    database: Database
    clock: FakeClock
    audit: AuditLog
    folder: Path

    def __post_init__(self) -> None:
        self.use(SoftwareLogKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"\x07" * 32), self.folder / "memory"))

    def use(self, key: SoftwareLogKey) -> None:
        self.key = key
        self.sequencer = AuditSequencer(self.database, self.clock)
        self.publisher = CheckpointPublisher(self.database, self.key, self.clock)
        self.published = PublishedLog(self.database)
        self.witnesses = Witnesses(self.database, self.audit, self.clock)

    def grow(self, count: int) -> None:
        """Writes, places and publishes events."""
        self.grow_unpublished(count)
        self.publisher.publish_due()

    def grow_unpublished(self, count: int) -> None:
        with self.database.write() as tx:
            for number in range(count):
                self.audit.append(
                    tx, AuditEvent(name="test.done", actor=ACTOR, outcome=Outcome.OK, detail={"number": number})
                )
        while self.sequencer.run_once():
            pass

    def copy(self) -> Path:
        export_log(self.published, self.folder / "copy")
        return self.folder / "copy"

    def verify(self, path: Path, **more: object) -> OfflineReport:
        return verify_copy(open_log_files(path), self.key.verifier_key, **more)  # type: ignore[arg-type]  # by name

    def checkpoint(self) -> bytes:
        found = self.published.checkpoint()
        assert found is not None
        return found


@dataclass(frozen=True)
class Outsider:
    """A witness's own key."""

    name: str
    private_key: Ed25519PrivateKey

    @property
    def key(self) -> VerifierKey:
        public_key = self.private_key.public_key().public_bytes_raw()
        return VerifierKey(name=self.name, kind=COSIGNATURE_V1, public_key=public_key)

    def cosign(self, checkpoint: bytes, clock: FakeClock) -> bytes:
        text = parse_note(checkpoint).text
        return checkpoint + cosign(text, self.key, self.private_key.sign, clock()).line.encode()


@pytest.fixture
def log(database: Database, clock: FakeClock, rng: SeededRng, tmp_path: Path) -> Log:
    return Log(database, clock, AuditLog(clock, rng), tmp_path)


@pytest.fixture
def outsider() -> Outsider:
    return Outsider("witness.example/w1", Ed25519PrivateKey.from_private_bytes(b"\x09" * 32))


def test_a_copy_verifies_without_the_database(log: Log) -> None:
    log.grow(300)
    earlier = log.checkpoint()
    log.grow(400)
    lines = list(openings(log.database))
    report = log.verify(log.copy(), earlier=[earlier], openings=lines)
    assert (report.origin, report.size, report.earlier, report.openings) == (ORIGIN, 700, (300,), 700)
    assert verify_log(log.database, log.key.verifier_key).root_hash == report.root_hash
    archive = log.folder / "copy.zip"
    with zipfile.ZipFile(archive, "w") as output:
        for path in log.copy().rglob("*"):
            output.write(path, path.relative_to(log.copy()))
    assert log.verify(archive).root_hash == report.root_hash


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_zip_file_is_refused_as_one(log: Log, method: int) -> None:
    log.grow(3)
    archive = log.folder / "copy.zip"
    with zipfile.ZipFile(archive, "w", method) as output:
        for path in log.copy().rglob("*"):
            output.write(path, path.relative_to(log.copy()))
        entry = output.getinfo("checkpoint")
    octets = bytearray(archive.read_bytes())
    start = entry.header_offset + 30 + len("checkpoint")
    octets[start + 2 : start + 8] = b"\xff" * 6
    archive.write_bytes(octets)
    with pytest.raises(NoteRefused):
        log.verify(archive)


def test_a_copy_holds_no_personal_data(log: Log) -> None:
    log.grow(3)
    octets = b"".join(path.read_bytes() for path in log.copy().rglob("*") if path.is_file())
    for text in (b"operator", b"test.done", b"number"):
        assert text not in octets


def test_a_copy_is_brought_up_to_date(log: Log) -> None:
    log.grow(255)
    log.copy()
    log.grow(2)
    assert log.verify(log.copy()).size == 257


def flip(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.write_bytes(octets)


TAMPERINGS: list[tuple[Callable[[Path], object], type[AuditError]]] = [
    (lambda copy: flip(copy / "tile/0/000"), AuditLogFault),
    (lambda copy: flip(copy / "tile/0/001.p/44"), AuditLogFault),
    (lambda copy: flip(copy / "tile/1/000.p/1"), AuditLogFault),
    (lambda copy: flip(copy / "tile/entries/000"), AuditLogFault),
    (lambda copy: (copy / "tile/entries/001.p/44").unlink(), AuditLogFault),
    (lambda copy: (copy / "tile/0/000").unlink(), AuditLogFault),
    (lambda copy: flip(copy / "checkpoint"), NoteRefused),
    (lambda copy: (copy / "checkpoint").unlink(), NoteRefused),
    (lambda copy: (copy / "tile/entries/000").write_bytes(b""), AuditLogFault),
    (
        lambda copy: (copy / "tile/entries/000").write_bytes((copy / "tile/entries/000").read_bytes()[34:]),
        AuditLogFault,
    ),
]


@pytest.mark.parametrize(("tamper", "error"), TAMPERINGS)
def test_a_copy_that_was_tampered_with_is_refused(
    log: Log, tamper: Callable[[Path], object], error: type[AuditError]
) -> None:
    log.grow(300)
    copy = log.copy()
    tamper(copy)
    with pytest.raises(error):
        log.verify(copy)


def test_what_an_auditor_is_shown_must_be_what_was_logged(log: Log) -> None:
    log.grow(5)
    lines = list(openings(log.database))
    changed = json.loads(lines[2])
    for name, value in (("actor", "operator:other"), ("salt", "AAAA"), ("index", 3), ("outcome", "refused")):
        with pytest.raises(AuditLogFault):
            log.verify(log.copy(), openings=[json.dumps({**changed, name: value})])
    for line in ("{}", "[]", "x", json.dumps({**changed, "index": 5}), json.dumps({**changed, "at": "2026-01-01"})):
        with pytest.raises(ProofRefused):
            log.verify(log.copy(), openings=[line])


def test_a_cut_log_and_another_history_do_not_follow_an_earlier_checkpoint(log: Log) -> None:
    log.grow(10)
    short = shutil.copytree(log.copy(), log.folder / "short")
    log.grow(10)
    with pytest.raises(AuditLogFault) as caught:
        log.verify(short, earlier=[log.checkpoint()])
    assert caught.value.kind is FaultKind.TAIL_CUT
    with pytest.raises(NoteRefused):
        log.verify(log.copy(), earlier=[log.checkpoint().replace(b"\n20\n", b"\n19\n")])


def test_another_logs_key_is_not_ours(log: Log) -> None:
    log.grow(1)
    other = SoftwareLogKey(ORIGIN, Ed25519PrivateKey.generate(), log.folder / "other")
    with pytest.raises(NoteRefused):
        verify_copy(open_log_files(log.copy()), other.verifier_key)
    with pytest.raises(NoteRefused):
        verify_log(log.database, other.verifier_key)


def test_witnesses_cosign_and_are_counted(log: Log, outsider: Outsider) -> None:
    second = Outsider("witness.example/w2", Ed25519PrivateKey.generate())
    log.witnesses.add(outsider.key.text, ACTOR)
    log.grow(5)
    assert log.published.witnessed_checkpoint() is None
    cosigned = outsider.cosign(log.checkpoint(), log.clock)
    assert log.witnesses.accept_note(cosigned) == [outsider.name]
    assert log.witnesses.accept_note(cosigned) == [outsider.name]
    assert log.checkpoint() == cosigned
    assert log.published.witnessed_checkpoint() == cosigned
    keys = (outsider.key, second.key)
    report = log.verify(log.copy(), witnesses=keys, quorum=1)
    assert report.witnesses == ((outsider.name, log.clock().replace(microsecond=0)),)
    with pytest.raises(NoteRefused):
        log.verify(log.copy(), witnesses=keys, quorum=2)
    with pytest.raises(NoteRefused):  # one key under two names is one witness
        twin = VerifierKey(name="twin", kind=COSIGNATURE_V1, public_key=outsider.key.public_key)
        log.verify(log.copy(), witnesses=(outsider.key, twin), quorum=2)


def test_cosignatures_that_are_not_taken(log: Log, outsider: Outsider) -> None:
    log.grow(5)
    cosigned = outsider.cosign(log.checkpoint(), log.clock)
    with pytest.raises(WitnessRefused):
        log.witnesses.accept_note(cosigned)
    log.witnesses.add(outsider.key.text, ACTOR)
    with pytest.raises(WitnessRefused):
        log.witnesses.add(outsider.key.text, ACTOR)
    log.grow(0)
    forged = bytearray(cosigned)
    forged[-10] ^= 1
    late = FakeClock(log.clock() + timedelta(hours=1))
    other_text = cosigned.replace(b"\n5\n", b"\n6\n")
    for octets in (bytes(forged), outsider.cosign(log.checkpoint(), late), other_text, b"", cosigned + b"\xff"):
        with pytest.raises((NoteRefused, WitnessRefused)):
            log.witnesses.accept_note(octets)
    assert log.published.witnessed_checkpoint() is None
    log.witnesses.retire(outsider.name, ACTOR)
    with pytest.raises(WitnessRefused):
        log.witnesses.accept_note(cosigned)
    with pytest.raises(WitnessRefused):
        log.witnesses.retire(outsider.name, ACTOR)
    with pytest.raises(NoteRefused):
        log.witnesses.add(log.key.verifier_key.text, ACTOR)


def test_a_witness_is_asked_with_a_proof_and_answers(log: Log, outsider: Outsider) -> None:
    log.witnesses.add(outsider.key.text, ACTOR)
    log.grow(5)
    old = parse_checkpoint(parse_note(log.checkpoint()).text)
    log.grow(7)
    size, body = log.witnesses.request(old.size)
    head, _, checkpoint = body.partition(b"\n\n")
    first, *proof = head.decode().split("\n")
    now = parse_checkpoint(parse_note(checkpoint).text)
    assert (first, size) == (f"old {old.size}", now.size)
    verify_consistency(old.size, now.size, [b64decode(node) for node in proof], old.root_hash, now.root_hash)
    line = outsider.cosign(checkpoint, log.clock).removeprefix(checkpoint)
    assert log.witnesses.accept_lines(size, line) == [outsider.name]
    with pytest.raises(ProofRefused):
        log.witnesses.request(size + 1)


def test_an_inclusion_proof_leads_to_the_checkpoint(log: Log) -> None:
    log.grow(300)
    for index in (0, 255, 256, 299):
        proof, event = log.published.inclusion(index), log.published.event(index)
        head = parse_checkpoint(parse_note(proof.checkpoint).text)
        assert event is not None
        assert event.leaf_hash == proof.entry
        verify_inclusion(leaf_node(proof.entry), index, head.size, proof.proof, head.root_hash)
    with pytest.raises(ProofRefused):
        log.published.inclusion(300)
    assert log.published.event(300) is None


def test_old_checkpoints_are_forgotten_but_cosigned_ones_stay(log: Log, outsider: Outsider) -> None:
    log.witnesses.add(outsider.key.text, ACTOR)
    log.grow(1)
    log.witnesses.accept_note(outsider.cosign(log.checkpoint(), log.clock))
    log.grow(1)
    log.clock.advance(2 * 86_400)
    log.grow(1)
    with log.database.read() as tx:
        assert [kept.size for kept in tree_store.all_checkpoints(tx)] == [2, 4]


class TestForks:
    """A checkpoint that does not continue what was signed is never signed."""

    def test_a_changed_tile_signs_nothing_more(self, log: Log) -> None:
        log.grow(5)
        with log.database.write() as tx:
            tx.execute(Statement(update(tree_store.tiles).values(hashes=bytes(32 * 5))))
        with pytest.raises(LogForked):
            log.publisher.publish_due()

    def test_a_database_that_was_put_back_signs_nothing_more(self, log: Log) -> None:
        log.grow(5)
        earlier = log.checkpoint()
        self.forget_all(log)
        log.grow_unpublished(3)
        with pytest.raises(LogForked):
            log.publisher.publish_due()
        log.grow_unpublished(4)
        with pytest.raises(LogForked):
            log.publisher.publish_due()
        assert log.published.checkpoint() is None
        assert parse_checkpoint(parse_note(earlier).text).size == 5

    def forget_all(self, log: Log) -> None:
        with log.database.engine.begin() as connection:
            for statement in removal_statements(log.database.dialect_name):
                connection.exec_driver_sql(statement)
            for table in (store.sequence, store.events, store.head, tree_store.tiles, tree_store.bundles):
                connection.execute(delete(table))
            connection.execute(delete(tree_store.checkpoints))
            for statement in protection_statements(log.database.dialect_name):
                connection.exec_driver_sql(statement)


def test_publishers_and_sequencers_side_by_side_make_one_log(log: Log) -> None:
    barrier = threading.Barrier(6)

    def work(number: int) -> None:
        barrier.wait()
        for turn in range(8):
            if number < 2:
                with log.database.write() as tx:
                    log.audit.append(
                        tx, AuditEvent(name="test.done", actor=ACTOR, outcome=Outcome.OK, detail={"turn": turn})
                    )
            elif number < 4:
                AuditSequencer(log.database, log.clock).run_once()
            else:
                CheckpointPublisher(log.database, log.key, log.clock).publish_due()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    log.grow(0)
    assert verify_log(log.database, log.key.verifier_key).chained == 16
    assert log.verify(log.copy()).size == 16


def test_kill_9_between_tiles_and_checkpoint_leaves_a_consistent_log(log: Log, database_url: str) -> None:
    tests = Path(log_child.__file__).parents[1]
    earlier: list[bytes] = []
    log.use(SoftwareLogKey.open(log.folder / "keys" / "log.pem", PASSPHRASE, ORIGIN))
    for round_ in range(2):
        with subprocess.Popen(
            [sys.executable, "-m", "support.log_child", database_url, str(log.folder / "keys" / "log.pem"), ORIGIN],
            stdout=subprocess.PIPE,
            cwd=tests,
            env={**os.environ, "PYTHONPATH": str(tests)},
            text=True,
        ) as child:
            assert child.stdout is not None
            for _ in range(12 + 5 * round_):  # it is killed in the midst of whatever comes next
                assert child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            child.wait(10)
        log.grow(0)
        earlier.append(log.checkpoint())
    report = verify_log(log.database, log.key.verifier_key)
    assert report.waiting == 0
    assert log.verify(log.copy(), earlier=earlier).size == report.chained


def test_the_log_over_http(log: Log, outsider: Outsider) -> None:
    log.witnesses.add(outsider.key.text, ACTOR)
    service = Starlette(routes=routes(log.published, log.witnesses, Hop(log.database)))
    client = httpx2.Client(transport=AsgiTransport(service), base_url="https://va.example")
    assert client.get("/pki/log/checkpoint").status_code == 404
    log.grow(299)
    found = client.get("/pki/log/checkpoint")
    assert found.content == log.checkpoint()
    assert found.headers["content-type"] == "text/plain; charset=utf-8"
    again = client.get("/pki/log/checkpoint", headers={"If-None-Match": found.headers["etag"]})
    assert again.status_code == 304
    for path in ("0/000", "0/001.p/44", "1/000.p/1", "entries/000", "entries/001.p/1"):
        tile = client.get(f"/pki/log/tile/{path}")
        assert tile.content == log.published.tile(parse_tile_path(path))
        assert "immutable" in tile.headers["cache-control"]
    for path in ("0/001", "0/001.p/45", "2/000", "63/000", "0/000.p/256", "x", "0/..%2f000", "9" * 400):
        missing = client.get(f"/pki/log/tile/{path}")
        assert (missing.status_code, missing.headers["cache-control"]) == (404, "no-store")
    cosigned = outsider.cosign(log.checkpoint(), log.clock)
    assert client.get("/pki/log/checkpoint/witnessed").status_code == 404
    assert client.post("/pki/log/cosignatures", content=cosigned).text == f"{outsider.name}\n"
    assert client.get("/pki/log/checkpoint/witnessed").content == cosigned
    assert client.post("/pki/log/cosignatures", content=b"x").json()["code"] == "audit_note_refused"
    assert client.post("/pki/log/cosignatures", content=b"x" * 70_000).status_code == 413


def test_the_logs_key_is_made_once_and_kept_safe(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "log.pem"
    with ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(lambda _: SoftwareLogKey.open(path, PASSPHRASE, ORIGIN), range(4)))
    assert len({key.verifier_key.text for key in keys}) == 1
    assert path.stat().st_mode & 0o077 == 0
    assert [found.name for found in path.parent.iterdir()] == ["log.pem"]
    with pytest.raises(ConfigurationError):
        SoftwareLogKey.open(path, b"another passphrase", ORIGIN)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError):
        SoftwareLogKey.open(path, PASSPHRASE, ORIGIN)


def test_the_command_verifies_a_copy_with_no_database(log: Log, outsider: Outsider) -> None:
    log.witnesses.add(outsider.key.text, ACTOR)
    log.grow(20)
    (log.folder / "earlier").write_bytes(log.checkpoint())
    log.grow(20)
    log.witnesses.accept_note(outsider.cosign(log.checkpoint(), log.clock))
    (log.folder / "openings").write_text("".join(f"{line}\n" for line in openings(log.database, 3, 7)))
    copy = str(log.copy())
    options = ["verify", "--log", copy, "--key", log.key.verifier_key.text, "--json", "--quorum", "1"]
    options += ["--witness", outsider.key.text, "--earlier", str(log.folder / "earlier")]
    options += ["--openings", str(log.folder / "openings")]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["size"], found["earlier"], found["openings"]) == (41, [21], 5)
    flip(log.folder / "copy" / "tile/entries/000.p/41")
    refused = CliRunner().invoke(app, options)
    assert refused.exit_code == 1
    assert "audit_log_fault" in refused.stderr
    assert CliRunner().invoke(app, ["verify", "--log", copy]).exit_code == 2
    assert CliRunner().invoke(app, [*options[:-1], str(log.folder / "none")]).exit_code == 1
