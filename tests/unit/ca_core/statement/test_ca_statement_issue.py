"""Issuing and verifying, and what lies exactly on the edges that the vectors leave room around."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from ca_core.kernel.errors import ConfigurationError
from ca_core.statement import (
    Document,
    Flow,
    LocalText,
    SignedStatement,
    Statement,
    StatementExpired,
    StatementIssuer,
    StatementKeys,
    StatementMalformed,
    StatementNotYetValid,
    StatementOriginMismatch,
    parse_compact,
    verify_statement,
    verify_text,
)
from ca_core.statement.keys import jose_signing_key
from support.fakes import FakeClock, SeededRng

ISSUER = "http://localhost:8000"
REQUEST: dict[str, Any] = {
    "flow": Flow.CARD,
    "origin": ISSUER,
    "client_id": "tax-filing",
    "client_name": LocalText("綜合所得稅申報", "Income tax filing"),
    "purpose": LocalText("登入以申報綜合所得稅", "Log in to file your income tax"),
    "acr": "urn:citizenid:loa:high",
    "claims": ("name", "birthdate"),
}


@pytest.fixture(scope="module")
def signing_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def issuer(signing_key: ec.EllipticCurvePrivateKey, clock: FakeClock, rng: SeededRng) -> StatementIssuer:
    return StatementIssuer(signing_key, "key-1", issuer=ISSUER, clock=clock, rng=rng)


def verified(issuer: StatementIssuer, compact: str, now: datetime, origin: str | None = ISSUER) -> Statement:
    return verify_statement(compact, issuer.keys, issuer=ISSUER, origin=origin, now=now)


def test_what_is_issued_verifies_and_reads_back_the_same(issuer: StatementIssuer, clock: FakeClock) -> None:
    signed = issuer.issue(**REQUEST)
    assert verified(issuer, signed.compact, clock.now) == signed.statement
    assert signed.statement.exp - signed.statement.iat == 60
    assert signed.issued_at == clock.now.replace(microsecond=0)
    assert signed.expires_at == signed.issued_at + timedelta(seconds=60)
    assert len(signed.challenge_nonce) == 44
    assert len(signed.code) == 4
    assert SignedStatement.from_own_record(signed.compact) == signed


def test_no_two_statements_are_equal(issuer: StatementIssuer) -> None:
    signed = [issuer.issue(**REQUEST) for _ in range(50)]
    assert len({one.statement.nonce for one in signed}) == 50
    assert len({one.digest for one in signed}) == 50


@pytest.mark.parametrize("flow", list(Flow))
def test_every_flow_lives_its_own_time(issuer: StatementIssuer, flow: Flow) -> None:
    documents = [Document(name="申請書.pdf", sha256="0" * 64)] if flow is Flow.SIGN else []
    cnf = "A" * 43 if flow is Flow.ENROL else None
    signed = issuer.issue(**REQUEST | {"flow": flow, "documents": documents, "cnf": cnf})
    expected = 300 if flow in (Flow.SIGN, Flow.DECRYPT, Flow.ENROL, Flow.PASSKEY_REGISTER) else 60
    assert signed.statement.exp - signed.statement.iat == expected


def test_a_lifetime_may_be_asked_for_within_the_limit(issuer: StatementIssuer) -> None:
    signed = issuer.issue(**REQUEST, lifetime_s=600)
    assert signed.statement.exp - signed.statement.iat == 600
    for lifetime_s in (0, -1, 601):
        with pytest.raises(StatementMalformed):
            issuer.issue(**REQUEST, lifetime_s=lifetime_s)


def test_it_expires_on_the_second_and_not_before(issuer: StatementIssuer, clock: FakeClock) -> None:
    signed = issuer.issue(**REQUEST)
    just_before = signed.expires_at - timedelta(microseconds=1)
    assert verified(issuer, signed.compact, just_before) == signed.statement
    with pytest.raises(StatementExpired):
        verified(issuer, signed.compact, signed.expires_at)


def test_another_node_may_be_five_seconds_behind_and_no_more(issuer: StatementIssuer) -> None:
    signed = issuer.issue(**REQUEST)
    assert verified(issuer, signed.compact, signed.issued_at - timedelta(seconds=5)) == signed.statement
    with pytest.raises(StatementNotYetValid):
        verified(issuer, signed.compact, signed.issued_at - timedelta(seconds=6))


def test_an_audit_may_leave_the_origin_out(issuer: StatementIssuer, clock: FakeClock) -> None:
    signed = issuer.issue(**REQUEST)
    assert verified(issuer, signed.compact, clock.now, origin=None) == signed.statement
    with pytest.raises(StatementOriginMismatch):
        verified(issuer, signed.compact, clock.now, origin="http://localhost:8001")


def test_a_name_that_would_mislead_is_never_signed(issuer: StatementIssuer) -> None:
    with pytest.raises(StatementMalformed):
        issuer.issue(**REQUEST | {"client_name": LocalText("財政部\u202e", "Ministry")})
    with pytest.raises(StatementMalformed):
        verify_text("Ministry\u200b", 100)
    verify_text("財政部", 100)


def test_what_does_not_fit_is_refused_before_anybody_signs_it(issuer: StatementIssuer) -> None:
    documents = [Document(name="文" * 100, sha256=f"{number:064x}") for number in range(10)]
    with pytest.raises(StatementMalformed, match="too long"):
        issuer.issue(**REQUEST | {"flow": Flow.SIGN, "documents": documents})


def test_types_are_checked_where_they_cannot_be_declared(issuer: StatementIssuer) -> None:
    with pytest.raises(StatementMalformed):
        issuer.issue(**REQUEST | {"client_id": 7})
    with pytest.raises(StatementMalformed):
        issuer.issue(**REQUEST | {"client_name": LocalText("名", None)})  # type: ignore[arg-type]  # on purpose
    with pytest.raises(StatementMalformed):
        parse_compact(b"a.b.c")  # type: ignore[arg-type]  # on purpose


def test_an_issuer_needs_a_p256_key_a_kid_and_an_issuer_url(clock: FakeClock, rng: SeededRng) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ConfigurationError):
        StatementIssuer(ec.generate_private_key(ec.SECP384R1()), "key-1", issuer=ISSUER, clock=clock, rng=rng)
    with pytest.raises(StatementMalformed):
        StatementIssuer(key, "a/b", issuer=ISSUER, clock=clock, rng=rng)
    with pytest.raises(StatementMalformed):
        StatementIssuer(key, "key-1", issuer="http://id.example.tw", clock=clock, rng=rng)


def test_no_key_is_no_reason_to_accept() -> None:
    with pytest.raises(ConfigurationError):
        StatementKeys({})
    with pytest.raises(ConfigurationError):
        StatementKeys.from_jwks({"keys": []})
    with pytest.raises(ConfigurationError):
        StatementKeys.from_jwks({"keys": [{"kty": "RSA", "kid": "1"}, {"kty": "EC", "crv": "P-384", "kid": "2"}]})
    broken = {"kty": "EC", "crv": "P-256", "kid": "1", "x": "A" * 43, "y": "A" * 43}
    with pytest.raises(ConfigurationError):
        StatementKeys.from_jwks({"keys": [broken]})


def test_a_jwk_set_goes_round_and_names_no_private_part(issuer: StatementIssuer, clock: FakeClock) -> None:
    jwks = issuer.keys.to_jwks()
    assert [sorted(jwk) for jwk in jwks["keys"]] == [["alg", "crv", "kid", "kty", "use", "x", "y"]]
    signed = issuer.issue(**REQUEST)
    keys = StatementKeys.from_jwks(jwks)
    assert verify_statement(signed.compact, keys, issuer=ISSUER, origin=ISSUER, now=clock.now) == signed.statement


class HsmLikeKey:
    """Stands for a key whose private part cannot be had; only `sign` and `public_key` are answered."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self.sign = key.sign
        self.public_key = key.public_key
        self.curve = key.curve


ec.EllipticCurvePrivateKey.register(HsmLikeKey)


def test_a_key_that_cannot_be_exported_signs_all_the_same(clock: FakeClock, rng: SeededRng) -> None:
    key: Any = HsmLikeKey(ec.generate_private_key(ec.SECP256R1()))
    issuer = StatementIssuer(key, "key-1", issuer=ISSUER, clock=clock, rng=rng)
    signed = issuer.issue(**REQUEST)
    assert verified(issuer, signed.compact, clock.now) == signed.statement
    jose = jose_signing_key(key, "key-1")
    assert isinstance(jose, ECKey)
    assert "d" not in jose.dict_value


def test_threads_may_share_an_issuer(issuer: StatementIssuer) -> None:
    made: list[SignedStatement] = []

    def work() -> None:
        made.extend(issuer.issue(**REQUEST) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = datetime.fromtimestamp(made[0].statement.iat, UTC)
    assert len({one.digest for one in made}) == 80
    assert all(verified(issuer, one.compact, now) == one.statement for one in made)
