"""Time stamps on both databases, judged by `openssl ts` and pkilint; clocks that step, serials that collide."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256, sha384, sha512
from pathlib import Path

import pytest
from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import func, select

from ca_core.audit import AuditLog
from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.issuance import CertificateStore
from ca_core.kernel.database import Database, Statement
from ca_core.kernel.errors import Conflict
from ca_core.keys import KeyAlgorithm, SoftwareKeyStore
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import StatusService
from ca_core.timestamp import (
    ClockNotTrusted,
    Failure,
    SteadyClock,
    TimestampAuthority,
    TimestampRecords,
    TimestampUnits,
    UnitMissing,
    store,
)
from ca_core.timestamp.model import IMPRINT_SIZES
from ca_core.timestamp.structures import TimeStampResponse
from support.fakes import FakeClock, SeededRng
from support.pki import World, ceremony_toml

COUNT = Statement(select(func.count()).select_from(store.stamps))
UNITS = Statement(select(func.count()).select_from(store.units))
DATA = b"a signed document"


@dataclass
class Stamping:
    world: World
    clock: FakeClock
    ticks: FakeClock
    units: TimestampUnits
    records: TimestampRecords
    authority: TimestampAuthority

    def stamps(self) -> int:
        with self.world.database.read() as tx:
            row = tx.one_or_none(COUNT)
        assert row is not None
        return int(row[0])

    def advance(self, seconds: float) -> None:
        """Time passes, for both clocks."""
        self.clock.advance(seconds)
        self.ticks.advance(seconds)


def stamping(database: Database, clock: FakeClock, rng: SeededRng) -> Stamping:
    world = World(database, clock, rng)
    world.hold(parse_ceremony(ceremony_toml().replace('"internal-tls"', '"internal-tls", "time-stamping"').encode()))
    status = StatusService(StatusLog())
    units = TimestampUnits(database, world.registry, world.key_store, status, clock, authority="citizen-g1")
    records = TimestampRecords(database, world.audit, clock)
    ticks = FakeClock()
    health = SteadyClock(clock, monotonic=lambda: ticks().timestamp())
    authority = TimestampAuthority(units, records, health, clock, rng)
    return Stamping(world, clock, ticks, units, records, authority)


@pytest.fixture
def made(database: Database, clock: FakeClock, rng: SeededRng) -> Stamping:
    found = stamping(database, clock, rng)
    assert found.units.ensure(found.world.issuance, rng)
    found.advance(86_400)
    return found


def query(data: bytes = DATA, **changes: object) -> bytes:
    members = {
        "version": "v1",
        "message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": sha256(data).digest()},
        "nonce": 0x1234567890ABCDEF,
        "cert_req": True,
        **changes,
    }
    der: bytes = tsp.TimeStampReq({name: value for name, value in members.items() if value is not None}).dump()
    return der


def token_info(der: bytes) -> tsp.TSTInfo:
    response = TimeStampResponse.load(der, strict=True)
    assert response["status"]["status"].native == "granted"
    return response["time_stamp_token"]["content"]["encap_content_info"]["content"].parsed


def trust(made: Stamping, folder: Path) -> tuple[str, ...]:
    pem = {a.slug: a.certificate.public_bytes(Encoding.PEM) for a in made.world.registry.all()}
    (folder / "root.pem").write_bytes(pem["root-g1"])
    (folder / "ca.pem").write_bytes(pem["citizen-g1"])
    (folder / "tsa.pem").write_bytes(
        x509.load_der_x509_certificate(made.units.current().certificate_der).public_bytes(Encoding.PEM)
    )
    at = str(int(made.clock().timestamp()))
    return ("-CAfile", str(folder / "root.pem"), "-untrusted", str(folder / "ca.pem"), "-attime", at)


def openssl(*arguments: str) -> str:
    done = subprocess.run(["openssl", "ts", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("hash_name", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("cert", [True, False])
def test_openssl_asks_reads_and_verifies(made: Stamping, tmp_path: Path, hash_name: str, cert: bool) -> None:
    data, request, reply = tmp_path / "data", tmp_path / "query.tsq", tmp_path / "reply.tsr"
    data.write_bytes(DATA)
    openssl("-query", "-data", str(data), f"-{hash_name}", "-out", str(request), *(["-cert"] if cert else []))
    answer = made.authority.respond(request.read_bytes())
    assert answer.failure is None
    reply.write_bytes(answer.der)
    anchors = list(trust(made, tmp_path))
    if not cert:  # the verifier must have the certificate from elsewhere
        (tmp_path / "ca.pem").write_bytes((tmp_path / "ca.pem").read_bytes() + (tmp_path / "tsa.pem").read_bytes())
    assert "Verification: OK" in openssl("-verify", "-queryfile", str(request), "-in", str(reply), *anchors)
    assert "Verification: OK" in openssl("-verify", "-data", str(data), "-in", str(reply), *anchors)
    shown = openssl("-reply", "-in", str(reply), "-text")
    assert "Status: Granted." in shown
    assert f"Hash Algorithm: {hash_name}" in shown
    assert "Ordering: no" in shown
    data.write_bytes(b"another document")
    refused = ["openssl", "ts", "-verify", "-data", str(data), "-in", str(reply), *anchors]
    assert subprocess.run(refused, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.P_384, KeyAlgorithm.RSA_2048])
def test_other_keys_stamp_too(
    database: Database, clock: FakeClock, rng: SeededRng, tmp_path: Path, algorithm: KeyAlgorithm
) -> None:
    made = stamping(database, clock, rng)
    assert made.units.ensure(made.world.issuance, rng, algorithm=algorithm)
    (tmp_path / "query.tsq").write_bytes(query())
    (tmp_path / "reply.tsr").write_bytes(made.authority.respond(query()).der)
    files = ("-queryfile", str(tmp_path / "query.tsq"), "-in", str(tmp_path / "reply.tsr"))
    assert "Verification: OK" in openssl("-verify", *files, *trust(made, tmp_path))


def test_what_a_stamp_says(made: Stamping) -> None:
    made.clock.now = made.clock.now.replace(microsecond=123_456)
    made.ticks.now = made.ticks.now.replace(microsecond=123_456)
    info = token_info(made.authority.respond(query()).der)
    assert info["gen_time"].native == made.clock.now.replace(microsecond=123_000)
    assert info["accuracy"].native == {"seconds": 1, "millis": None, "micros": None}
    assert info["nonce"].native == 0x1234567890ABCDEF
    assert info["ordering"].native is False
    assert info["policy"].dotted == "1.3.6.1.4.1.32473.886.1.8"
    assert info["message_imprint"]["hashed_message"].native == sha256(DATA).digest()
    assert token_info(made.authority.respond(query(nonce=None)).der)["nonce"].native is None


@pytest.mark.parametrize(
    ("request_der", "failure"),
    [
        (b"", Failure.BAD_DATA_FORMAT),
        (b"\x30\x80", Failure.BAD_DATA_FORMAT),
        (query() + b"\x00", Failure.BAD_DATA_FORMAT),
        (query()[:-1], Failure.BAD_DATA_FORMAT),
        (b"\x30" * 5_000, Failure.BAD_DATA_FORMAT),
        (bytes(8_193), Failure.BAD_DATA_FORMAT),
        (query(version="v2"), Failure.BAD_REQUEST),
        (query(nonce=1 << 600), Failure.BAD_REQUEST),
        (query(req_policy="1.2.3.4"), Failure.UNACCEPTED_POLICY),
        (query(extensions=[{"extn_id": "1.2.3.4", "extn_value": b""}]), Failure.UNACCEPTED_EXTENSION),
        (
            query(message_imprint={"hash_algorithm": {"algorithm": "sha1"}, "hashed_message": bytes(20)}),
            Failure.BAD_ALG,
        ),
        (
            query(message_imprint={"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": bytes(20)}),
            Failure.BAD_DATA_FORMAT,
        ),
    ],
    ids=[
        "empty",
        "endless",
        "trailing",
        "truncated",
        "deep",
        "huge",
        "version",
        "nonce",
        "policy",
        "extension",
        "sha1",
        "imprint",
    ],
)
def test_each_fault_has_its_failure_and_stamps_nothing(made: Stamping, request_der: bytes, failure: Failure) -> None:
    answer = made.authority.respond(request_der)
    assert answer.failure is failure
    status = TimeStampResponse.load(answer.der, strict=True)["status"]
    assert status["status"].native == "rejection"
    assert len(status["status_string"]) == 2
    bits = status["fail_info"].contents  # the unused bits' number, then as many octets as the bit needs
    assert (len(bits) - 2, bits[-1]) == (failure.bit // 8, 0x80 >> failure.bit % 8)
    assert made.stamps() == 0


@pytest.mark.parametrize("parameters", [b"", b"\x05\x00"])
def test_the_imprint_is_repeated_octet_for_octet(made: Stamping, parameters: bytes) -> None:
    sha256_oid = bytes.fromhex("0609608648016503040201")
    algorithm = bytes((0x30, len(sha256_oid + parameters))) + sha256_oid + parameters
    digest = b"\x04\x20" + sha256(DATA).digest()
    imprint = bytes((0x30, len(algorithm + digest))) + algorithm + digest
    version = b"\x02\x01\x01"
    answer = made.authority.respond(bytes((0x30, len(version + imprint))) + version + imprint).der
    assert token_info(answer)["message_imprint"].dump() == imprint


def test_the_digest_of_the_signature_has_no_parameters(made: Stamping) -> None:
    signed = TimeStampResponse.load(made.authority.respond(query()).der, strict=True)["time_stamp_token"]["content"]
    bare = bytes.fromhex("300b0609608648016503040201")
    assert [one.dump() for one in signed["digest_algorithms"]] == [bare]
    assert signed["signer_infos"][0]["digest_algorithm"].dump() == bare


def test_each_of_many_nodes_with_keys_of_its_own_goes_on_with_its_unit(
    made: Stamping, rng: SeededRng, tmp_path: Path
) -> None:
    own = made.units.current()
    statuses = StatusService(StatusLog())
    for node in range(12):
        keys = SoftwareKeyStore(tmp_path / str(node), b"a passphrase of this test", rng=rng)
        units = TimestampUnits(
            made.world.database, made.world.registry, keys, statuses, made.clock, authority="citizen-g1"
        )
        assert units.ensure(made.world.issuance, rng)
    made.advance(2)
    assert made.units.current().id == own.id
    assert made.units.ensure(made.world.issuance, rng) is False


def test_certtool_accepts_the_units_chain_for_time_stamping(made: Stamping, tmp_path: Path) -> None:
    trust(made, tmp_path)
    chain = tmp_path / "chain.pem"
    chain.write_bytes((tmp_path / "tsa.pem").read_bytes() + (tmp_path / "ca.pem").read_bytes())
    arguments = ["--verify", "--infile", str(chain), "--load-ca-certificate", str(tmp_path / "root.pem")]
    for purpose, accepted in (("1.3.6.1.5.5.7.3.8", True), ("1.3.6.1.5.5.7.3.1", False)):
        command = ["certtool", *arguments, f"--verify-purpose={purpose}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is accepted, done.stdout + done.stderr


def test_no_unit_is_a_system_failure(database: Database, clock: FakeClock, rng: SeededRng) -> None:
    made = stamping(database, clock, rng)
    assert made.authority.respond(query()).failure is Failure.SYSTEM_FAILURE
    assert made.stamps() == 0


def test_a_clock_that_steps_back_an_hour_stamps_nothing_until_it_is_steady(made: Stamping) -> None:
    assert made.authority.respond(query()).failure is None
    made.clock.advance(-3_600)
    for _ in range(3):
        assert made.authority.respond(query()).failure is Failure.TIME_NOT_AVAILABLE
    made.advance(301)  # steady again, but still behind what was stamped
    assert made.authority.respond(query()).failure is Failure.TIME_NOT_AVAILABLE
    made.advance(3_600)
    assert made.authority.respond(query()).failure is None
    assert made.stamps() == 2
    with made.world.database.read() as tx:
        names = [event.name for event in made.world.audit.recent(tx)]
    assert names.count("timestamp.clock_not_trusted") == 2


def test_a_clock_that_steps_forward_is_not_trusted_for_a_while(made: Stamping) -> None:
    made.clock.advance(1)
    assert made.authority.respond(query()).failure is Failure.TIME_NOT_AVAILABLE
    made.advance(299)
    assert made.authority.respond(query()).failure is Failure.TIME_NOT_AVAILABLE
    made.advance(2)
    assert made.authority.respond(query()).failure is None


def test_many_small_steps_add_up() -> None:
    clock, ticks = FakeClock(), FakeClock()
    health = SteadyClock(clock, monotonic=lambda: ticks().timestamp())
    health.verify()
    clock.advance(0.3)
    health.verify()
    clock.advance(0.3)
    with pytest.raises(ClockNotTrusted):
        health.verify()


def test_a_restarted_node_with_a_clock_behind_does_not_stamp(made: Stamping, rng: SeededRng) -> None:
    assert made.authority.respond(query()).failure is None
    made.clock.advance(-3_600)
    restarted = TimestampAuthority(made.units, made.records, SteadyClock(made.clock), made.clock, rng)
    assert restarted.respond(query()).failure is Failure.TIME_NOT_AVAILABLE
    assert made.stamps() == 1


def test_a_serial_is_never_used_twice(made: Stamping) -> None:
    health = SteadyClock(made.clock)
    stuck = TimestampAuthority(made.units, made.records, health, made.clock, lambda size: bytes(size - 1) + b"\x07")
    assert stuck.respond(query()).failure is None
    assert stuck.respond(query()).failure is Failure.SYSTEM_FAILURE
    draws = iter([7, 7, 8])
    lucky = TimestampAuthority(
        made.units, made.records, health, made.clock, lambda size: next(draws).to_bytes(size, "big")
    )
    assert token_info(lucky.respond(query()).der)["serial_number"].native == 8
    assert made.stamps() == 2


def test_stamps_side_by_side_have_serials_of_their_own(made: Stamping) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: made.authority.respond(query()).der, range(24)))
    assert len({token_info(der)["serial_number"].native for der in answers}) == 24


def test_a_revoked_unit_stops_within_a_second_and_is_replaced(made: Stamping, rng: SeededRng) -> None:
    unit = x509.load_der_x509_certificate(made.units.current().certificate_der)
    world = made.world
    authority = world.registry.by_slug("citizen-g1")
    revocation = RevocationService(world.database, CertificateStore(), world.audit, made.clock)
    revocation.revoke(authority.id, unit.serial_number, RevocationReason.KEY_COMPROMISE, "operator:test")
    made.advance(1)
    assert made.authority.respond(query()).failure is Failure.SYSTEM_FAILURE
    assert made.units.ensure(world.issuance, rng)
    assert made.authority.respond(query()).failure is None


def test_a_unit_renews_itself_after_a_year_and_not_before(made: Stamping, rng: SeededRng) -> None:
    made.advance(363 * 86_400)
    assert not made.units.ensure(made.world.issuance, rng)
    before = made.units.current().id
    made.advance(2 * 86_400)
    assert made.units.ensure(made.world.issuance, rng)
    assert made.units.current().id > before


def test_an_order_that_was_broken_off_is_gone_on_with(database: Database, clock: FakeClock, rng: SeededRng) -> None:
    made = stamping(database, clock, rng)

    class Away:
        def issue(self, request: object) -> object:
            raise Conflict("away")

    for _ in range(3):
        with pytest.raises(Conflict):
            made.units.ensure(Away(), rng)  # type: ignore[arg-type]  # it never answers
    with pytest.raises(UnitMissing):
        made.units.current()
    assert made.units.ensure(made.world.issuance, rng)
    with database.read() as tx:
        assert tx.one_or_none(UNITS) == (1,)


def test_seals_cover_every_stamp_once(made: Stamping) -> None:
    assert made.records.seal("system:worker") is None
    for _ in range(3):
        made.authority.respond(query())
    assert made.records.seal("system:worker") is None  # a slower transaction may still come
    made.advance(121)
    first = made.records.seal("system:worker")
    assert first is not None
    assert first.count == 3
    assert made.records.seal("system:worker") is None
    assert made.records.digest(first.after, first.through) == first
    with made.world.database.read() as tx:
        event = next(found for found in made.world.audit.recent(tx) if found.name == "timestamp.sealed")
    assert first.digest in event.detail


def test_a_stamp_that_cannot_be_recorded_is_not_given(made: Stamping, clock: FakeClock, rng: SeededRng) -> None:
    class Broken(TimestampRecords):
        def record(self, *_: object, **__: object) -> None:
            raise Conflict("full")

    broken = Broken(made.world.database, AuditLog(clock, rng), clock)
    authority = TimestampAuthority(made.units, broken, SteadyClock(clock), clock, rng)
    assert authority.respond(query()).failure is Failure.SYSTEM_FAILURE


def test_every_hash_has_its_size() -> None:
    sizes = {"sha256": sha256, "sha384": sha384, "sha512": sha512}
    assert {name: made().digest_size for name, made in sizes.items()} == dict(IMPRINT_SIZES)
