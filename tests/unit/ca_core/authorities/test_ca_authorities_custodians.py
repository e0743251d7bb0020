"""m of n custodians: who may approve, what their signature is over, and what is held without enough of them."""

import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.authorities.custodians import CustodianService, approval_text, parse_custodians
from ca_core.authorities.errors import ApprovalRefused, CeremonyAlreadyHeld, CustodianSetRefused, NotApproved
from ca_core.kernel.database import Database
from ca_core.keys import KeyAlgorithm, PrivateKey
from support.fakes import FakeClock, SeededRng
from support.pki import MemoryKeyStore, World, ceremony, ceremony_toml, new_key
from support.processes import required_program

KEYS: tuple[PrivateKey, ...] = (new_key(), new_key(KeyAlgorithm.P_384), new_key(KeyAlgorithm.RSA_2048))


def set_file(threshold: int = 2, keys: tuple[PrivateKey, ...] = KEYS) -> bytes:
    lines = [f"threshold = {threshold}"]
    for index, key in enumerate(keys):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        lines += ["[[custodians]]", f'name = "Custodian {index}"', f'public_key = """\n{pem}"""']
    return "\n".join(lines).encode()


def signed(key: PrivateKey, octets: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, PKCS1v15(), hashes.SHA256())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(octets, ec.ECDSA(hashes.SHA256()))


def approval(key: PrivateKey, digest: str) -> bytes:
    return signed(key, approval_text(digest))


@pytest.fixture
def database(sqlite_database_url: str) -> Iterator[Database]:
    opened = Database.open(sqlite_database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    return World(database, clock, rng, key_store=MemoryKeyStore())


@pytest.fixture
def custodians(world: World) -> CustodianService:
    service = CustodianService(world.database, world.audit, world.clock)
    service.establish(parse_custodians(set_file()), actor="operator:founder")
    return service


def events(world: World) -> list[str]:
    with world.database.read() as tx:
        return [event.name for event in world.audit.recent(tx)]


def test_a_ceremony_is_held_when_enough_approved_and_not_before(world: World, custodians: CustodianService) -> None:
    held = ceremony()
    with pytest.raises(NotApproved, match="0 of 2"):
        world.hold(held)
    assert custodians.approve(held.digest, approval(KEYS[2], held.digest), actor="operator:1") == "Custodian 2"
    custodians.approve(held.digest, approval(KEYS[2], held.digest), actor="operator:1")  # the same one again
    with pytest.raises(NotApproved, match="1 of 2"):
        world.hold(held)
    assert world.registry.all() == ()
    assert isinstance(world.key_store, MemoryKeyStore) and world.key_store.keys == {}
    custodians.approve(held.digest, approval(KEYS[0], held.digest), actor="operator:1")
    transcript = world.hold(held).transcript
    assert "Approved by custodian: Custodian 0\nApproved by custodian: Custodian 2" in transcript
    assert events(world).count("ceremony.approved") == 2
    with pytest.raises(CeremonyAlreadyHeld):
        world.hold(held)


def test_an_approval_is_for_one_file(world: World, custodians: CustodianService) -> None:
    one, other = ceremony(), ceremony(issuing=("citizen-g9",))
    for key in KEYS[:2]:
        custodians.approve(one.digest, approval(key, one.digest), actor="operator:1")
    with pytest.raises(NotApproved):
        world.hold(other)
    for signature in (
        approval(KEYS[0], one.digest),  # over another file
        signed(KEYS[0], other.digest.encode()),  # over the bare digest
        approval(new_key(), other.digest),  # by somebody else
        b"",
    ):
        before = events(world)
        with pytest.raises(ApprovalRefused):
            custodians.approve(other.digest, signature, actor="operator:1")
        assert events(world) == before


def test_the_file_may_ask_for_more_than_the_set(world: World, custodians: CustodianService) -> None:
    text = "approvals = 3\n" + ceremony_toml()
    held = parse_ceremony(text.encode())
    for key in KEYS[:2]:
        custodians.approve(held.digest, approval(key, held.digest), actor="operator:1")
    with pytest.raises(NotApproved, match="2 of 3"):
        world.hold(held)
    custodians.approve(held.digest, approval(KEYS[2], held.digest), actor="operator:1")
    assert world.hold(held).authorities


def test_a_file_that_asks_for_approvals_is_not_held_without_custodians(world: World) -> None:
    with pytest.raises(NotApproved, match="no custodians"):
        world.hold(parse_ceremony(("approvals = 1\n" + ceremony_toml()).encode()))


def test_the_set_is_changed_only_by_enough_of_the_set_before(world: World, custodians: CustodianService) -> None:
    fresh = (new_key(), new_key())
    new = parse_custodians(set_file(1, fresh))
    with pytest.raises(NotApproved):
        custodians.establish(new, actor="operator:thief")
    custodians.approve(new.digest, approval(KEYS[0], new.digest), actor="operator:1")
    with pytest.raises(NotApproved):
        custodians.establish(new, actor="operator:thief")
    custodians.approve(new.digest, approval(KEYS[1], new.digest), actor="operator:1")
    custodians.establish(new, actor="operator:1")
    current = custodians.current()
    assert current is not None and current.digest == new.digest
    held = ceremony()
    with pytest.raises(ApprovalRefused):  # no longer a custodian
        custodians.approve(held.digest, approval(KEYS[0], held.digest), actor="operator:1")
    custodians.approve(held.digest, approval(fresh[1], held.digest), actor="operator:1")
    assert world.hold(held).authorities


def test_approvals_of_those_who_left_do_not_count(world: World, custodians: CustodianService) -> None:
    held = ceremony()
    for key in KEYS[:2]:
        custodians.approve(held.digest, approval(key, held.digest), actor="operator:1")
    new = parse_custodians(set_file(2, (KEYS[0], new_key())))
    for key in KEYS[:2]:
        custodians.approve(new.digest, approval(key, new.digest), actor="operator:1")
    custodians.establish(new, actor="operator:1")
    with pytest.raises(NotApproved, match="1 of 2"):
        world.hold(held)


def set_of_spki(octets: str) -> bytes:
    """A set of one, by its SubjectPublicKeyInfo in hexadecimal."""
    pem = f"-----BEGIN PUBLIC KEY-----\n{b64encode(bytes.fromhex(octets)).decode()}\n-----END PUBLIC KEY-----"
    return f'threshold = 1\n[[custodians]]\nname = "x"\npublic_key = """\n{pem}\n"""\n'.encode()


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\xff",
        set_file(4),
        set_file(0),
        set_file(2, (KEYS[0], KEYS[0])),
        set_file().replace(b"Custodian 1", b"Custodian 0"),
        set_file() + b"\nextra = 1",
        b'threshold = 1\n[[custodians]]\nname = "x"\npublic_key = "none"',
        set_of_spki("300f300a06082a85030701010101030100"),  # an algorithm that nobody knows
        set_of_spki("301a301406072a8648ce3d020106092b240303020801010a03020004"),  # a curve that nobody knows
    ],
)
def test_a_set_that_breaks_a_rule_is_refused(octets: bytes) -> None:
    with pytest.raises(CustodianSetRefused):
        parse_custodians(octets)


def test_openssl_makes_an_approval(world: World, custodians: CustodianService, tmp_path: Path) -> None:
    held = ceremony()
    for index, key in enumerate(KEYS[:2]):
        pem = tmp_path / f"{index}.pem"
        pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (tmp_path / "approval.txt").write_bytes(approval_text(held.digest))
        command = [
            str(required_program("openssl")),
            "dgst",
            "-sha256",
            "-sign",
            str(pem),
            "-out",
            "sig",
            "approval.txt",
        ]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=30)
        custodians.approve(held.digest, (tmp_path / "sig").read_bytes(), actor="operator:1")
    assert world.hold(held).authorities
