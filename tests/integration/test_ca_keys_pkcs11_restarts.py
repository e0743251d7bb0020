"""boulder #3468: a token that was restarted under open sessions, whatever its module then answers, is used again."""

from collections.abc import Callable
from hashlib import sha256
from typing import NoReturn

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import exceptions

from ca_core.kernel.errors import Unavailable
from ca_core.keys import KeyAlgorithm, KeyStoreFault, pkcs11_connection, pkcs11_module
from ca_core.keys.model import KeyStoreState
from ca_core.keys.pkcs11 import Pkcs11KeyStore
from ca_core.keys.pkcs11_module import Seat, TokenModule
from support.softhsm import SoftHsm

VENDORS_OWN = exceptions.PKCS11Error("Unmapped error code 0x80000383")
"""As python-pkcs11 raises what the standard has no name for."""
AFTER_A_RESTART = [
    *(exceptions.DeviceError(), exceptions.DeviceRemoved(), exceptions.SessionHandleInvalid(), VENDORS_OWN),
    *(exceptions.UserNotLoggedIn(), exceptions.DeviceMemory(), exceptions.HostMemory(), exceptions.FunctionRejected()),
    *(exceptions.UserAlreadyLoggedIn(), exceptions.RandomNoRNG(), exceptions.SessionCount()),
]


@pytest.fixture
def store(softhsm: SoftHsm) -> Pkcs11KeyStore:
    pkcs11_connection._standings.clear()
    return Pkcs11KeyStore(softhsm.module, softhsm.token_label, softhsm.pin)


@pytest.fixture
def label(request: pytest.FixtureRequest) -> str:
    """A label of the test's own, since the token lives as long as the run."""
    return f"v{sha256(request.node.nodeid.encode()).hexdigest()[:12]}"


class Dead:
    """A session, or the handle of a key in one, of before the restart."""

    def __init__(self, answer: Exception) -> None:
        self._answer = answer

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise self._answer

    sign = generate_random = get_objects = _refuse


def restart_under(module: TokenModule, answer: Exception) -> None:
    """Each session that is open answers that from now on, to everything."""
    for seats in module._idle.values():
        assert seats
        for seat in seats:
            seat.session = Dead(answer)  # type: ignore[assignment]  # stands in for one
            seat.handles = {identifier: Dead(answer) for identifier in seat.handles}


@pytest.mark.parametrize("answer", AFTER_A_RESTART, ids=lambda answer: type(answer).__name__)
@pytest.mark.parametrize("act", ["sign", "look up", "probe"])
def test_whatever_sessions_answer_after_a_restart_others_are_opened(
    store: Pkcs11KeyStore, label: str, answer: Exception, act: str
) -> None:
    key = store.generate(label, KeyAlgorithm.P_256)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    scheme = ec.ECDSA(hashes.SHA256())
    key.sign(b"before", scheme)
    restarts = store.health().restarts
    restart_under(store._connection._module, answer)
    if act == "look up":
        store._keys.clear()
        store.private_key(label)
    elif act == "probe":
        assert store.health(probe=True).is_ready
    key.public_key().verify(key.sign(b"after", scheme), b"after", scheme)
    assert (store.health().restarts, store.health().state) == (restarts + 1, KeyStoreState.READY)


def test_what_a_call_did_wrong_is_a_fault_and_costs_no_session(store: Pkcs11KeyStore, label: str) -> None:
    store.generate(label, KeyAlgorithm.P_256)
    restarts, seen = store.health().restarts, set[int]()

    def wrong(seat: Seat) -> None:
        seen.add(id(seat.session))
        raise exceptions.MechanismInvalid

    for _ in range(3):
        with pytest.raises(KeyStoreFault, match="MechanismInvalid"):
            store._connection.run(wrong)
    assert len(seen) == 1
    assert (store.health().restarts, store.health().is_ready) == (restarts, True)


def refusing(answer: Exception) -> Callable[..., object]:
    def get_token(**_: object) -> NoReturn:
        raise answer

    return get_token


@pytest.mark.parametrize("answer", [VENDORS_OWN, exceptions.SessionCount(), exceptions.TokenNotPresent()], ids=repr)
def test_a_token_that_opens_no_session_is_away_and_health_says_so(
    softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, answer: Exception
) -> None:
    class Module:
        get_token = staticmethod(refusing(answer))

    monkeypatch.setattr(pkcs11, "lib", lambda _path: Module())
    monkeypatch.setattr(pkcs11_module, "initialise_again", lambda _path: True)
    pkcs11_connection._standings.clear()
    store = Pkcs11KeyStore(softhsm.module, "full", "1")
    store._connection._module = TokenModule("/made/up.so")
    with pytest.raises(Unavailable):
        store.private_key("x")
    health = store.health(probe=True)
    assert (health.state, health.failures, health.detail) == (KeyStoreState.AWAY, 2, type(answer).__name__)
