"""Batches under an RSA key, which several threads sign: at one time, in order, and whole whatever dies or goes away."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from ca_core.issuance import IssuedCertificate
from ca_core.issuance.checkpoint import Step
from ca_core.issuance.draft import Draft
from ca_core.issuance.errors import LintRefused
from ca_core.issuance.lint import LintedRequest, Linter
from ca_core.issuance.model import LintMode
from ca_core.issuance.signer import HELPERS
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Unavailable
from ca_core.keys import KeyAlgorithm, PrivateKey, SoftwareKeyStore
from ca_core.keys.hsm_keys import HsmEcPrivateKey, HsmRsaPrivateKey
from support.fakes import FakeClock, SeededRng
from support.issuance_rows import INTENTS, issued, requests, rows, verify_whole
from support.pki import MemoryKeyStore, World, ceremony, citizen_request, make_world, new_key
from support.pki_child import PASSPHRASE, batch_requests

TESTS = Path(__file__).parents[1]
THREADS = HELPERS + 1
PATIENCE_S = 60


@pytest.fixture(scope="module")
def rsa_key() -> PrivateKey:
    """Made once: seconds of work."""
    return new_key(KeyAlgorithm.RSA_4096)


class GatedKeyStore(MemoryKeyStore):
    """A token whose signatures the test looks at. gate: called before each with its number, from 0, once it is set."""

    def __init__(self, issuing: PrivateKey | None = None) -> None:
        super().__init__()
        self.issuing = issuing
        self.gate: Callable[[int], None] | None = None
        self.begun = 0
        self.made = 0
        self.threads: set[int] = set()
        self._counting = threading.Lock()

    def generate(self, label: str, algorithm: KeyAlgorithm) -> PrivateKey:
        if algorithm is KeyAlgorithm.RSA_4096 and self.issuing is not None:
            self.keys[label] = self.issuing
            return self.issuing
        return super().generate(label, algorithm)

    def private_key(self, label: str) -> PrivateKey:
        key = super().private_key(label)
        if isinstance(key, rsa.RSAPrivateKey):
            known = key
            return HsmRsaPrivateKey(key.public_key(), lambda data: self._counted(lambda: _rsa(known, data)))
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        known_ec = key
        return HsmEcPrivateKey(key.public_key(), lambda data: self._counted(lambda: _ec(known_ec, data)))

    def _counted(self, sign: Callable[[], bytes]) -> bytes:
        if self.gate is None:
            return sign()
        with self._counting:
            number, self.begun = self.begun, self.begun + 1
            self.threads.add(threading.get_ident())
        self.gate(number)
        signature = sign()
        with self._counting:
            self.made += 1
        return signature


def _rsa(key: rsa.RSAPrivateKey, digest_info: bytes) -> bytes:
    return key.sign(digest_info[-32:], PKCS1v15(), Prehashed(hashes.SHA256()))


def _ec(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    hash_algorithm: hashes.HashAlgorithm = hashes.SHA256() if len(digest) == 32 else hashes.SHA384()
    r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(hash_algorithm))))
    return r.to_bytes(len(digest), "big") + s.to_bytes(len(digest), "big")


@pytest.fixture
def token(rsa_key: PrivateKey) -> GatedKeyStore:
    return GatedKeyStore(rsa_key)


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng, token: GatedKeyStore) -> World:
    return make_world(database, clock, rng, key_store=token, algorithm=KeyAlgorithm.RSA_4096)


@pytest.mark.parametrize("mode", list(LintMode))
def test_an_rsa_batch_is_signed_at_one_time_and_answered_in_order(
    database: Database, world: World, token: GatedKeyStore, mode: LintMode
) -> None:
    together = threading.Barrier(THREADS)

    def wait_for_the_others(number: int) -> None:
        if number < THREADS:
            together.wait(PATIENCE_S)  # fails where fewer sign at one time

    token.gate = wait_for_the_others
    interval, running = sys.getswitchinterval(), threading.active_count()
    wanted = requests(7, "p")
    outcomes = issued(world.issuance.issue_many(wanted, lint=mode, batch_size=4))
    assert [one.card_number for one in outcomes] == [request.card_number for request in wanted]
    authority = world.registry.by_slug("citizen-g1").certificate
    for one in outcomes:
        one.certificate.verify_directly_issued_by(authority)
    assert token.made == len(wanted)
    assert (sys.getswitchinterval(), threading.active_count()) == (interval, running)
    verify_whole(database)


def test_an_ecdsa_batch_is_signed_by_one_thread(database: Database, clock: FakeClock, rng: SeededRng) -> None:
    token = GatedKeyStore()
    world = make_world(database, clock, rng, key_store=token)
    token.gate = lambda _number: None
    issued(world.issuance.issue_many(requests(6, "p")))
    assert (token.made, len(token.threads)) == (6, 1)


def test_a_token_that_goes_away_while_several_threads_sign(
    database: Database, world: World, token: GatedKeyStore
) -> None:
    """One thread's call fails while the others' are under way: theirs count, and nobody begins another."""
    others_are_in, is_gone = threading.Barrier(THREADS), threading.Event()

    def leave(number: int) -> None:
        if number < THREADS:
            others_are_in.wait(PATIENCE_S)
        if number == THREADS - 1 or number >= THREADS:
            is_gone.set()
            raise Unavailable("the token is gone")
        assert is_gone.wait(PATIENCE_S)

    token.gate = leave
    wanted = requests(9, "p")
    outcomes = world.issuance.issue_many(wanted, batch_size=9)
    recorded = [outcome for outcome in outcomes if isinstance(outcome, IssuedCertificate)]
    assert token.made == len(recorded) == THREADS - 1
    assert sum(isinstance(outcome, Unavailable) for outcome in outcomes) == len(wanted) - len(recorded)
    assert THREADS <= token.begun <= 2 * THREADS - 1  # each of the others once more at most
    intended = {row[0]: row[2] for row in rows(database, INTENTS)}
    with pytest.raises(Unavailable):
        world.issuance.recover()
    token.gate = None
    again = issued(world.issuance.issue_many(wanted))
    assert [f"{one.serial:040x}" for one in again] == [intended[request.request_id] for request in wanted]
    assert [one for one, outcome in zip(again, outcomes, strict=True) if one == outcome] == recorded
    verify_whole(database)


def test_one_that_the_linter_refuses_is_neither_intended_nor_signed_and_disturbs_no_other(
    database: Database, world: World, token: GatedKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lint, refused_number = Linter.lint, b"0000000000000666"

    def refusing(linter: Linter, draft: Draft, *, waived: Sequence[str] = ()) -> LintedRequest:
        if refused_number in draft.preview:
            raise LintRefused("ERROR certificate: tests.finding")
        return lint(linter, draft, waived=waived)

    monkeypatch.setattr(Linter, "lint", refusing)
    token.gate = lambda _number: None
    wanted = requests(8, "p")
    wanted[5] = citizen_request("p5", card_number=f"{5:016d}", subject_serial_number=refused_number.decode())
    outcomes = world.issuance.issue_many(wanted, batch_size=4)
    assert isinstance(outcomes[5], LintRefused)
    good = issued([outcome for outcome in outcomes if outcome is not outcomes[5]])
    assert [one.card_number for one in good] == [f"{index:016d}" for index in range(8) if index != 5]
    assert token.made == 7
    assert "p5" not in {row[0] for row in rows(database, INTENTS)}
    verify_whole(database)


def test_a_thread_that_dies_ends_the_batch_only_when_nobody_signs_any_more(
    database: Database, clock: FakeClock, rng: SeededRng, world: World, token: GatedKeyStore
) -> None:
    class Died(Exception):
        pass

    def die(step: Step) -> None:
        if step is Step.SIGNED:
            raise Died

    token.gate = lambda _number: None
    dying = World(database, clock, rng, key_store=token, checkpoint=die).issuance
    with pytest.raises(Died):
        dying.issue_many(requests(12, "p"))
    begun = token.begun
    assert token.made == begun <= THREADS
    assert not any(thread.name.startswith("sign") for thread in threading.enumerate())
    assert len(world.issuance.recover().recovered) == 12
    assert token.begun == begun + 12
    verify_whole(database)


# A batch of two and one of one: 22 checkpoints, those of the signing threads between those of the one that lints.
@pytest.mark.parametrize("count", [4, 5, 6, 7, 9, 12, 18, 22])
def test_a_batch_killed_while_several_threads_sign_is_carried_out_by_the_next_process(
    database: Database, database_url: str, clock: FakeClock, rng: SeededRng, tmp_path: Path, count: int
) -> None:
    folder = tmp_path / "keys"
    world = World(database, clock, rng, key_store=SoftwareKeyStore(folder, PASSPHRASE))
    world.hold(ceremony(algorithm=KeyAlgorithm.RSA_4096))
    command = [sys.executable, "-m", "support.pki_child", database_url, str(folder), "batch-every", str(count)]
    died = subprocess.run([*command, clock.now.isoformat()], cwd=TESTS, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL
    left = {row[0]: row[2] for row in rows(database, INTENTS)}
    assert {"batch-0", "batch-1"} <= set(left)  # from the fourth step on
    if count % 2:
        assert world.issuance.recover().stuck == ()
    for index, one in enumerate(issued(world.issuance.issue_many(batch_requests(), batch_size=2))):
        assert left.get(f"batch-{index}", f"{one.serial:040x}") == f"{one.serial:040x}"
    verify_whole(database)
