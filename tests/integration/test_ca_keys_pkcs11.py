"""Keys in SoftHSM2: made there, kept there, used by many threads, found again after the token went away."""

import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pkcs11 import Attribute, ObjectClass

from ca_core.kernel.database import Database
from ca_core.kernel.errors import ConfigurationError, Unavailable
from ca_core.keys import (
    KeyAlgorithm,
    KeyExists,
    KeyLabelRefused,
    KeyNotFound,
    KeyStoreFault,
    PrivateKey,
    key_algorithm_of,
    key_identifier,
    pkcs11_connection,
)
from ca_core.keys.model import KeyStoreState, spki_octets
from ca_core.keys.pkcs11 import Pkcs11KeyStore
from ca_core.keys.pkcs11_connection import FIRST_PAUSE_S, FREE_FAILURES, LONGEST_PAUSE_S
from ca_core.keys.pkcs11_module import initialise_again
from support.fakes import FakeClock, SeededRng
from support.pki import World, ceremony, citizen_request
from support.processes import required_program, run
from support.softhsm import SoftHsm


@pytest.fixture
def store(softhsm: SoftHsm) -> Pkcs11KeyStore:
    return Pkcs11KeyStore(softhsm.module, softhsm.token_label, softhsm.pin)


@pytest.fixture
def label(request: pytest.FixtureRequest) -> str:
    """A label of the test's own, since the token lives as long as the run."""
    return f"t{sha256(request.node.nodeid.encode()).hexdigest()[:12]}"


@contextmanager
def token_objects(softhsm: SoftHsm, label: str) -> Iterator[list[pkcs11.Object]]:
    """What the token holds under a label, seen by a session of the test's own (logged in through the store's)."""
    with pkcs11.lib(str(softhsm.module.resolve())).get_token(token_label=softhsm.token_label).open(rw=True) as session:
        yield list(session.get_objects({Attribute.LABEL: label}))


@contextmanager
def token_taken_away(softhsm: SoftHsm) -> Iterator[None]:
    tokens = softhsm.configuration.parent / "tokens"
    away = tokens.with_name("away")
    tokens.rename(away)
    tokens.mkdir()
    try:
        yield
    finally:
        tokens.rmdir()
        away.rename(tokens)


def sign_and_verify(key: PrivateKey, octets: bytes = b"octets") -> None:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        key.public_key().verify(key.sign(octets, ec.ECDSA(hashes.SHA256())), octets, ec.ECDSA(hashes.SHA256()))
    elif isinstance(key, rsa.RSAPrivateKey):
        scheme, algorithm = padding.PKCS1v15(), hashes.SHA256()
        key.public_key().verify(key.sign(octets, scheme, algorithm), octets, scheme, algorithm)
    else:
        raise AssertionError("a key of no algorithm that a token has")


@pytest.mark.parametrize("algorithm", [known for known in KeyAlgorithm if not known.is_ml_dsa])
def test_a_key_is_made_in_the_token_and_signs(
    store: Pkcs11KeyStore, softhsm: SoftHsm, label: str, algorithm: KeyAlgorithm
) -> None:
    key = store.generate(label, algorithm)
    assert key_algorithm_of(key) is algorithm
    sign_and_verify(key)
    again = Pkcs11KeyStore(softhsm.module, softhsm.token_label, softhsm.pin).private_key(label)
    assert spki_octets(again.public_key()) == spki_octets(key.public_key())
    sign_and_verify(again)


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P_256])
def test_the_private_key_cannot_leave_the_token_or_do_anything_but_sign(
    store: Pkcs11KeyStore, softhsm: SoftHsm, label: str, algorithm: KeyAlgorithm
) -> None:
    key = store.generate(label, algorithm)
    with token_objects(softhsm, label) as objects:
        by_class = {found[Attribute.CLASS]: found for found in objects}
        private, public = by_class[ObjectClass.PRIVATE_KEY], by_class[ObjectClass.PUBLIC_KEY]
        attributes = {
            Attribute.TOKEN: True,
            Attribute.PRIVATE: True,
            Attribute.SENSITIVE: True,
            Attribute.ALWAYS_SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.NEVER_EXTRACTABLE: True,
            Attribute.SIGN: True,
            Attribute.DECRYPT: False,
            Attribute.UNWRAP: False,
            Attribute.DERIVE: False,
        }
        assert {name: private[name] for name in attributes} == attributes
        assert private[Attribute.ID] == public[Attribute.ID] == key_identifier(key.public_key())
        secret = Attribute.PRIVATE_EXPONENT if algorithm.is_rsa else Attribute.VALUE
        with pytest.raises(pkcs11.AttributeSensitive):
            private[secret]


def test_a_key_is_never_replaced(store: Pkcs11KeyStore, softhsm: SoftHsm, label: str) -> None:
    key = store.generate(label, KeyAlgorithm.P_256)
    with pytest.raises(KeyExists):
        store.generate(label, KeyAlgorithm.P_256)
    with token_objects(softhsm, label) as objects:
        assert len(objects) == 2
    assert spki_octets(store.private_key(label).public_key()) == spki_octets(key.public_key())


def test_of_eight_that_make_one_key_one_wins(store: Pkcs11KeyStore, softhsm: SoftHsm, label: str) -> None:
    barrier, outcomes = threading.Barrier(8), list[str]()

    def make() -> None:
        barrier.wait()
        try:
            store.generate(label, KeyAlgorithm.P_256)
            outcomes.append("made")
        except KeyExists:
            outcomes.append("exists")

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["exists"] * 7 + ["made"]
    with token_objects(softhsm, label) as objects:
        assert len(objects) == 2


def test_labels_and_missing_keys_are_refused(store: Pkcs11KeyStore, label: str) -> None:
    with pytest.raises(KeyNotFound):
        store.private_key(label)
    for refused in ("", "A", "a/b", "a" * 65):
        with pytest.raises(KeyLabelRefused):
            store.generate(refused, KeyAlgorithm.P_256)


def test_two_keys_of_one_label_are_a_fault(store: Pkcs11KeyStore, softhsm: SoftHsm, label: str) -> None:
    store.generate(label, KeyAlgorithm.P_256)
    other = store.generate(f"{label}b", KeyAlgorithm.P_256)
    with token_objects(softhsm, f"{label}b") as objects:
        for found in objects:
            found[Attribute.LABEL] = label
    with pytest.raises(KeyStoreFault):
        Pkcs11KeyStore(softhsm.module, softhsm.token_label, softhsm.pin).private_key(label)
    sign_and_verify(other)


def test_a_key_that_could_be_read_out_is_refused(store: Pkcs11KeyStore, softhsm: SoftHsm, label: str) -> None:
    store.generate(f"{label}x", KeyAlgorithm.P_256)  # logs in
    with pkcs11.lib(str(softhsm.module.resolve())).get_token(token_label=softhsm.token_label).open(rw=True) as session:
        session.generate_keypair(
            pkcs11.KeyType.RSA,
            2048,
            id=b"x",
            label=label,
            store=True,
            private_template={Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False},
        )
    with pytest.raises(KeyStoreFault, match="read out"):
        store.private_key(label)


def test_a_wrong_pin_stops_the_start(softhsm: SoftHsm, store: Pkcs11KeyStore, label: str) -> None:
    store.generate(label, KeyAlgorithm.P_256)
    with pytest.raises(ConfigurationError):
        Pkcs11KeyStore(softhsm.module, softhsm.token_label, "999999").private_key(label)
    sign_and_verify(store.private_key(label))


def test_a_missing_module_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        Pkcs11KeyStore(tmp_path / "none.so", "x", "1")


def test_an_unknown_token_is_unavailable(softhsm: SoftHsm) -> None:
    with pytest.raises(Unavailable):
        Pkcs11KeyStore(softhsm.module, "no-such-token", "1").private_key("x")


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P_256])
def test_a_key_signs_again_after_the_token_came_back(
    store: Pkcs11KeyStore, softhsm: SoftHsm, label: str, algorithm: KeyAlgorithm
) -> None:
    key = store.generate(label, algorithm)
    with token_taken_away(softhsm):
        initialise_again(str(softhsm.module.resolve()))
        with pytest.raises(Unavailable):
            sign_and_verify(key)
        with pytest.raises(Unavailable):
            store.private_key(label)
    sign_and_verify(key)
    sign_and_verify(store.private_key(label))


def test_handles_that_became_void_are_found_again(store: Pkcs11KeyStore, softhsm: SoftHsm, label: str) -> None:
    key = store.generate(label, KeyAlgorithm.P_256)
    sign_and_verify(key)
    initialise_again(str(softhsm.module.resolve()))
    sign_and_verify(key)


def test_eight_threads_sign_through_resets(store: Pkcs11KeyStore, softhsm: SoftHsm, label: str) -> None:
    keys = [store.generate(f"{label}{i}", a) for i, a in enumerate((KeyAlgorithm.P_256, KeyAlgorithm.RSA_2048))]
    failures, barrier = list[Exception](), threading.Barrier(8)

    def work(index: int) -> None:
        barrier.wait()
        try:
            for turn in range(25):
                sign_and_verify(keys[(index + turn) % 2], bytes([index, turn]))
                if index == 0 and turn % 10 == 9:
                    with store._connection._module.alone():
                        initialise_again(str(softhsm.module.resolve()))
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_opensc_sees_the_keys(store: Pkcs11KeyStore, softhsm: SoftHsm, label: str) -> None:
    key = store.generate(label, KeyAlgorithm.P_256)
    tool = [required_program("pkcs11-tool"), "--module", softhsm.module, "--token-label", softhsm.token_label]
    shown = run([*tool, "--login", "--pin", softhsm.pin, "--list-objects"]).stdout
    private = shown.split("Private Key Object")[1:]
    mine = next(text for text in private if label in text)
    assert key_identifier(key.public_key()).hex() in mine
    assert "never extractable" in mine


def test_a_ceremony_and_an_issuance_run_on_the_token(
    database: Database, clock: FakeClock, rng: SeededRng, store: Pkcs11KeyStore, label: str
) -> None:
    root, issuing = f"r{label}", f"i{label}"
    world = World(database, clock, rng, key_store=store)
    world.hold(ceremony(root=root, issuing=(issuing,)))
    issued = world.issuance.issue(citizen_request(authority=issuing))
    authority = world.registry.by_slug(issuing)
    issued.certificate.verify_directly_issued_by(authority.certificate)
    authority.certificate.verify_directly_issued_by(world.registry.by_slug(root).certificate)


# Health, back-off, fork


def test_health_tells_of_the_token_going_away_and_coming_back(
    store: Pkcs11KeyStore, softhsm: SoftHsm, label: str
) -> None:
    moment = [1_000.0]
    store._connection._monotonic = lambda: moment[0]
    pkcs11_connection._standings.clear()
    assert store.health().state is KeyStoreState.UNUSED
    key = store.generate(label, KeyAlgorithm.P_256)
    moment[0] += 5
    ready = store.health(probe=True)
    assert (ready.state, ready.for_s, ready.failures, ready.is_ready) == (KeyStoreState.READY, 5, 0, True)
    with token_taken_away(softhsm):
        initialise_again(str(softhsm.module.resolve()))
        for _ in range(FREE_FAILURES):
            with pytest.raises(Unavailable):
                sign_and_verify(key)
        away = store.health()
        assert (away.state, away.failures, away.is_ready) == (KeyStoreState.AWAY, FREE_FAILURES, False)
        assert away.retry_in_s == pytest.approx(FIRST_PAUSE_S)
        restarts = away.restarts
        with pytest.raises(Unavailable, match="left alone"):
            sign_and_verify(key)
        assert store.health().restarts == restarts  # the token was not asked
        for _ in range(12):
            moment[0] += LONGEST_PAUSE_S
            assert store.health(probe=True).state is KeyStoreState.AWAY
        assert store.health().retry_in_s == LONGEST_PAUSE_S
    moment[0] += LONGEST_PAUSE_S
    sign_and_verify(key)
    assert (store.health().state, store.health().failures) == (KeyStoreState.READY, 0)


def in_a_child(work: Callable[[], None]) -> int:
    """The exit status of a forked child that does the work: 0 where it raised nothing."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - the child must not run the parent's tests
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_after_a_fork_each_process_signs_with_the_keys_it_means(
    store: Pkcs11KeyStore, softhsm: SoftHsm, label: str
) -> None:
    keys = [store.generate(f"{label}{index}", KeyAlgorithm.P_256) for index in range(3)]
    for key in keys:
        sign_and_verify(key)

    def grandchild() -> None:
        for key in keys:
            sign_and_verify(key)

    def child() -> None:
        for turn in range(3):
            for key in reversed(keys):
                sign_and_verify(key, bytes([turn]))
        sign_and_verify(store.generate(f"{label}c", KeyAlgorithm.P_256))
        assert in_a_child(grandchild) == 0

    assert in_a_child(child) == 0
    for key in keys:  # the parent's session was not closed, nor its handles moved
        sign_and_verify(key)
    sign_and_verify(store.private_key(f"{label}c"))


def test_a_fork_while_another_thread_holds_the_token_does_not_hang_the_child(store: Pkcs11KeyStore, label: str) -> None:
    key = store.generate(label, KeyAlgorithm.P_256)
    held, released = threading.Event(), threading.Event()

    def hold() -> None:
        with store._connection._module.alone():
            held.set()
            released.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    try:
        assert in_a_child(lambda: sign_and_verify(key)) == 0
    finally:
        released.set()
        thread.join()
    sign_and_verify(key)


def test_a_handle_that_became_another_keys_is_found_out(store: Pkcs11KeyStore, softhsm: SoftHsm, label: str) -> None:
    """CKA_IDs exchanged behind our back: neither key signs in the other's name."""
    one, two = (store.generate(f"{label}{index}", KeyAlgorithm.P_256) for index in range(2))
    with token_objects(softhsm, f"{label}0") as first, token_objects(softhsm, f"{label}1") as second:
        for found in first:
            if found[Attribute.CLASS] is ObjectClass.PRIVATE_KEY:
                found[Attribute.ID] = b"somewhere else"
        for found in second:
            if found[Attribute.CLASS] is ObjectClass.PRIVATE_KEY:
                found[Attribute.ID] = key_identifier(one.public_key())
    with pytest.raises(KeyStoreFault, match="another key"):
        sign_and_verify(one)
    with pytest.raises(KeyStoreFault):
        sign_and_verify(two)


def test_a_pair_that_took_another_keys_identifier_signs_nothing_in_its_name(
    store: Pkcs11KeyStore, softhsm: SoftHsm, label: str
) -> None:
    """Both halves of the other pair: the public key in the token is not the one that is meant."""
    one, _ = (store.generate(f"{label}{index}", KeyAlgorithm.P_256) for index in range(2))
    with token_objects(softhsm, f"{label}0") as first, token_objects(softhsm, f"{label}1") as second:
        for objects, identifier in ((first, b"somewhere else"), (second, key_identifier(one.public_key()))):
            for found in objects:
                found[Attribute.ID] = identifier
    with pytest.raises(KeyStoreFault, match="is another one"):
        sign_and_verify(one)
    for index in range(2):
        with pytest.raises(KeyStoreFault, match="CKA_ID is not the public key's SHA-1"):
            Pkcs11KeyStore(softhsm.module, softhsm.token_label, softhsm.pin).private_key(f"{label}{index}")
