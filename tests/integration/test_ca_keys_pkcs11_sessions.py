"""Several sessions of a SoftHSM2 token at one time, and PINs that a token refused."""

import os
import threading
from collections.abc import Callable
from hashlib import sha256

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from pkcs11 import exceptions

from ca_core.kernel.errors import ConfigurationError, Unavailable
from ca_core.keys import KeyAlgorithm, PrivateKey, pkcs11_connection, pkcs11_module
from ca_core.keys.model import KeyStoreState
from ca_core.keys.pkcs11 import Pkcs11KeyStore
from ca_core.keys.pkcs11_module import MOST_SESSIONS, Seat, TokenModule, initialise_again
from support.processes import required_program, run
from support.softhsm import SoftHsm

PATIENCE_S = 30


@pytest.fixture
def store(softhsm: SoftHsm) -> Pkcs11KeyStore:
    return Pkcs11KeyStore(softhsm.module, softhsm.token_label, softhsm.pin)


@pytest.fixture
def label(request: pytest.FixtureRequest) -> str:
    """A label of the test's own, since the token lives as long as the run."""
    return f"s{sha256(request.node.nodeid.encode()).hexdigest()[:12]}"


def sign_and_verify(key: PrivateKey, octets: bytes = b"octets") -> None:
    assert isinstance(key, rsa.RSAPrivateKey)
    scheme, algorithm = PKCS1v15(), hashes.SHA256()
    key.public_key().verify(key.sign(octets, scheme, algorithm), octets, scheme, algorithm)


def at_one_time(count: int, work: Callable[[int], object]) -> list[Exception]:
    """What threads that begin together raised."""
    failures, barrier = list[Exception](), threading.Barrier(count)

    def run_one(index: int) -> None:
        barrier.wait(PATIENCE_S)
        try:
            work(index)
        except Exception as error:  # noqa: BLE001 - returned
            failures.append(error)

    threads = [threading.Thread(target=run_one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads)
    return failures


def test_calls_are_made_at_one_time_each_with_its_session_and_no_more_than_there_may_be(store: Pkcs11KeyStore) -> None:
    together, counting = threading.Barrier(MOST_SESSIONS), threading.Lock()
    inside, most, seen = 0, 0, set[int]()

    def operation(seat: Seat) -> bytes:
        nonlocal inside, most
        with counting:
            inside += 1
            most = max(most, inside)
            seen.add(id(seat.session))
        together.wait(PATIENCE_S)  # fails where fewer come in
        octets: bytes = seat.session.generate_random(64)
        with counting:
            inside -= 1
        return octets

    assert at_one_time(2 * MOST_SESSIONS, lambda _index: store._connection.run(operation)) == []
    assert (most, len(seen)) == (MOST_SESSIONS, MOST_SESSIONS)


def test_a_module_that_cannot_lock_is_called_by_one_thread_at_a_time(
    softhsm: SoftHsm, store: Pkcs11KeyStore, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = store.generate(label, KeyAlgorithm.RSA_2048)
    module = store._connection._module

    def without_locks(path: str) -> bool:
        initialise_again(path)
        return False

    with monkeypatch.context() as patched:
        patched.setattr(pkcs11_module, "initialise_again", without_locks)
        module.restart(after=module.epoch)
    busy = threading.Lock()

    def operation(seat: Seat) -> None:
        assert busy.acquire(blocking=False)
        seat.session.generate_random(64)
        busy.release()

    assert at_one_time(4, lambda _index: [store._connection.run(operation) for _ in range(50)]) == []
    module.restart(after=module.epoch)
    sign_and_verify(key)


def test_threads_that_sign_when_the_token_goes_away_restart_it_once_and_go_on_when_it_is_back(
    softhsm: SoftHsm, store: Pkcs11KeyStore, label: str
) -> None:
    key = store.generate(label, KeyAlgorithm.RSA_2048)
    module, sharing = store._connection._module, threading.Barrier(3)
    before = module.restarts

    def fail_together(seat: Seat) -> None:
        if module.restarts == before:
            sharing.wait(PATIENCE_S)
            raise exceptions.DeviceRemoved
        seat.session.generate_random(64)

    assert at_one_time(3, lambda _index: store._connection.run(fail_together)) == []
    assert module.restarts == before + 1
    tokens = softhsm.configuration.parent / "tokens"
    away = tokens.with_name("away")
    tokens.rename(away)
    tokens.mkdir()
    try:
        with module.alone():
            initialise_again(module.path)
        gone = at_one_time(4, lambda index: sign_and_verify(key, bytes([index])))
        assert len(gone) == 4
        assert all(isinstance(error, Unavailable) for error in gone)
        assert store.health().state is KeyStoreState.AWAY
    finally:
        tokens.rmdir()
        away.rename(tokens)
    pkcs11_connection._standings.clear()
    for _ in range(10):
        assert at_one_time(4, lambda index: sign_and_verify(key, bytes([index]))) == []
    assert store.health().state is KeyStoreState.READY


def test_a_module_that_would_not_be_initialised_is_initialised_later(
    store: Pkcs11KeyStore, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = store.generate(label, KeyAlgorithm.RSA_2048)
    module = store._connection._module

    def fail(_path: str) -> bool:
        raise exceptions.GeneralError

    with monkeypatch.context() as patched:
        patched.setattr(pkcs11_module, "initialise_again", fail)
        module.restart(after=module.epoch)
        gone = at_one_time(2, lambda _index: sign_and_verify(key))
        assert [type(error) for error in gone] == [Unavailable, Unavailable]
    pkcs11_connection._standings.clear()
    assert at_one_time(2, lambda _index: sign_and_verify(key)) == []


def test_forks_while_threads_sign_leave_parent_and_child_with_their_keys(store: Pkcs11KeyStore, label: str) -> None:
    key = store.generate(label, KeyAlgorithm.RSA_2048)
    stop, statuses = threading.Event(), list[int]()

    def work(index: int) -> None:
        if index:
            while not stop.is_set():
                sign_and_verify(key, bytes([index]))
            return
        try:
            for _ in range(5):
                child = os.fork()
                if child == 0:
                    try:
                        sign_and_verify(key, b"child")
                        os._exit(0)
                    finally:
                        os._exit(1)
                statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        finally:
            stop.set()

    assert at_one_time(3, work) == []
    assert statuses == [0] * 5
    sign_and_verify(key)


def held_inside(store: Pkcs11KeyStore) -> tuple[threading.Thread, threading.Event]:
    """A thread that is inside the module until the event."""
    entered, leave = threading.Event(), threading.Event()

    def operation(_seat: Seat) -> None:
        entered.set()
        leave.wait(PATIENCE_S)

    thread = threading.Thread(target=lambda: store._connection.run(operation))
    thread.start()
    assert entered.wait(PATIENCE_S)
    return thread, leave


def test_a_fork_waits_for_calls_inside_the_module(store: Pkcs11KeyStore, label: str) -> None:
    key = store.generate(label, KeyAlgorithm.RSA_2048)
    module, forked, statuses = store._connection._module, threading.Event(), list[int]()
    thread, leave = held_inside(store)

    def fork() -> None:
        child = os.fork()
        if child == 0:
            try:
                sign_and_verify(key, b"child")
                os._exit(0)
            finally:
                os._exit(1)
        forked.set()
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    forking = threading.Thread(target=fork)
    forking.start()
    while not forked.is_set() and not module._changed._waiters:  # type: ignore[attr-defined]  # of a Condition
        pass
    assert not forked.is_set()
    leave.set()
    for each in (thread, forking):
        each.join(PATIENCE_S)
    assert statuses == [0]
    sign_and_verify(key)


def test_the_child_of_a_process_whose_token_does_not_answer_is_told_so(
    store: Pkcs11KeyStore, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = store.generate(label, KeyAlgorithm.RSA_2048)
    monkeypatch.setattr(pkcs11_module, "FORK_PATIENCE_S", 0.01)
    thread, leave = held_inside(store)
    child = os.fork()
    if child == 0:
        try:
            with pytest.raises(Unavailable):
                sign_and_verify(key)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    leave.set()
    thread.join(PATIENCE_S)
    sign_and_verify(key)


class CountedToken:
    """A token, real or made up, whose sessions are counted."""

    def __init__(self, open_session: Callable[..., object]) -> None:
        self.open_session = open_session
        self.logins: list[str] = []
        self.opened = 0

    def open(self, **options: object) -> object:
        if "user_pin" in options:
            self.logins.append(str(options["user_pin"]))
        session = self.open_session(**options)
        self.opened += 1
        return session


class CountedModule:
    """Stands in for `pkcs11.lib(path)`."""

    def __init__(self, token: CountedToken) -> None:
        self.token = token

    def get_token(self, **_options: str) -> CountedToken:
        return self.token


def module_of(token: CountedToken, monkeypatch: pytest.MonkeyPatch) -> TokenModule:
    monkeypatch.setattr(pkcs11, "lib", lambda _path: CountedModule(token))
    monkeypatch.setattr(pkcs11_module, "initialise_again", lambda _path: True)
    return TokenModule("/made/up.so")


def test_a_token_with_few_sessions_is_used_with_those(monkeypatch: pytest.MonkeyPatch, store: Pkcs11KeyStore) -> None:
    def open_one(**_options: object) -> object:
        if token.opened >= 2:
            raise exceptions.SessionCount
        return object()

    token = CountedToken(open_one)
    store._connection._module = module_of(token, monkeypatch)
    together = threading.Barrier(2)

    def operation(_seat: Seat) -> None:
        together.wait(PATIENCE_S)

    assert at_one_time(6, lambda _index: store._connection.run(operation)) == []
    assert (token.opened, len(token.logins)) == (2, 1)


@pytest.mark.parametrize(
    "refusal",
    [
        exceptions.PinIncorrect,
        exceptions.PinInvalid,
        exceptions.PinLenRange,
        exceptions.PinLocked,
        exceptions.PinExpired,
        exceptions.UserPinNotInitialized,
    ],
)
def test_a_refused_pin_costs_one_login_however_often_the_key_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, softhsm: SoftHsm, refusal: type[Exception]
) -> None:
    def open_one(**_options: object) -> object:
        raise refusal

    token = CountedToken(open_one)
    module = module_of(token, monkeypatch)
    store, again = (Pkcs11KeyStore(softhsm.module, "no-such-token", "1111") for _ in range(2))
    store._connection._module = again._connection._module = module
    for _ in range(3):
        for one in (store, again):
            with pytest.raises(ConfigurationError, match=refusal.__name__):
                one.private_key("x")
            one.health(probe=True)
        module.restart(after=module.epoch)  # another token of the module came back
    assert token.logins == ["1111"]
    health = store.health()
    assert (health.state, health.is_ready) == (KeyStoreState.AWAY, False)
    assert refusal.__name__ in health.detail
    assert "correct the PIN" in health.detail
    other = Pkcs11KeyStore(softhsm.module, "no-such-token", "2222")
    other._connection._module = module
    with pytest.raises(ConfigurationError):
        other.private_key("x")
    of_that_pin = refusal in (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange)
    assert token.logins == (["1111", "2222"] if of_that_pin else ["1111"])


def test_a_wrong_pin_is_shown_to_a_real_token_once_and_the_right_one_opens_it(
    softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    pins = ["--pin", softhsm.pin, "--so-pin", softhsm.so_pin]
    run([required_program("softhsm2-util"), "--init-token", "--free", "--label", label, *pins])
    logins, real = list[str](), pkcs11.lib

    class Module:
        def __init__(self, path: str) -> None:
            self.path = path

        def get_token(self, **options: str) -> CountedToken:
            counted = CountedToken(real(self.path).get_token(**options).open)
            counted.logins = logins
            return counted

    monkeypatch.setattr(pkcs11, "lib", Module)
    wrong, right = (Pkcs11KeyStore(softhsm.module, label, pin) for pin in ("999999", softhsm.pin))
    for _ in range(4):
        with pytest.raises(ConfigurationError, match="PinIncorrect: correct the PIN"):
            wrong.private_key("x")
        assert not wrong.health(probe=True).is_ready
    assert logins == ["999999"]
    sign_and_verify(right.generate("x", KeyAlgorithm.RSA_2048))
    assert right.health().is_ready
    with pytest.raises(ConfigurationError):
        wrong.private_key("x")
    assert logins == ["999999", softhsm.pin]
