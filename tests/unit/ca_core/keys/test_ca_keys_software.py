"""Encrypted key files: made once, whole, for the owner alone, and never replaced."""

import os
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_public_key

from ca_core.kernel.errors import ConfigurationError
from ca_core.keys import (
    KeyAlgorithm,
    KeyExists,
    KeyLabelRefused,
    KeyNotFound,
    KeyStoreFault,
    SoftwareKeyStore,
    key_algorithm_of,
)
from ca_core.keys.envelope import seal_private_key
from ca_core.keys.errors import KeyAlgorithmRefused
from ca_core.keys.model import spki_octets
from support.processes import required_program, run

PASSPHRASE = b"correct horse"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def store(folder: Path) -> SoftwareKeyStore:
    return SoftwareKeyStore(folder, PASSPHRASE)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.P_256, KeyAlgorithm.P_384, KeyAlgorithm.RSA_2048])
def test_a_key_is_found_again_by_another_store(store: SoftwareKeyStore, folder: Path, algorithm: KeyAlgorithm) -> None:
    made = store.generate("root-g1", algorithm)
    found = SoftwareKeyStore(folder, PASSPHRASE).private_key("root-g1")
    assert key_algorithm_of(found) is algorithm
    assert spki_octets(found.public_key()) == spki_octets(made.public_key())


def test_the_file_is_the_owners_alone_and_nothing_else_is_left(store: SoftwareKeyStore, folder: Path) -> None:
    store.generate("root-g1", KeyAlgorithm.P_256)
    assert [path.name for path in folder.iterdir()] == ["root-g1.pem"]
    assert (folder / "root-g1.pem").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_openssl_opens_the_file_and_sees_scrypt(store: SoftwareKeyStore, folder: Path) -> None:
    key = store.generate("root-g1", KeyAlgorithm.P_256)
    openssl = required_program("openssl")
    file = folder / "root-g1.pem"
    public = run([openssl, "pkey", "-in", file, "-passin", f"pass:{PASSPHRASE.decode()}", "-pubout"]).stdout
    assert spki_octets(key.public_key()) == _der(public)
    assert "scrypt" in run([openssl, "asn1parse", "-in", file]).stdout


def _der(pem: str) -> bytes:
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return spki_octets(key)


def test_a_key_is_never_replaced(store: SoftwareKeyStore, folder: Path) -> None:
    store.generate("root-g1", KeyAlgorithm.P_256)
    before = contents(folder)
    with pytest.raises(KeyExists):
        store.generate("root-g1", KeyAlgorithm.P_256)
    assert contents(folder) == before


def test_of_eight_that_make_one_key_one_wins(store: SoftwareKeyStore, folder: Path) -> None:
    barrier, outcomes = threading.Barrier(8), list[bytes | None]()

    def make() -> None:
        barrier.wait()
        try:
            key = SoftwareKeyStore(folder, PASSPHRASE).generate("x", KeyAlgorithm.P_256)
            outcomes.append(spki_octets(key.public_key()))
        except KeyExists:
            outcomes.append(None)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if outcome is not None]
    assert winners == [spki_octets(store.private_key("x").public_key())]
    assert [path.name for path in folder.iterdir()] == ["x.pem"]


@pytest.mark.parametrize("label", ["", "-a", "a-", "A", "a/b", "..", "a.pem", "a\n", "a" * 65, "ä", "a b"])
def test_a_label_outside_the_grammar_is_refused(store: SoftwareKeyStore, folder: Path, label: str) -> None:
    with pytest.raises(KeyLabelRefused):
        store.generate(label, KeyAlgorithm.P_256)
    with pytest.raises(KeyLabelRefused):
        store.private_key(label)
    assert contents(folder) == {}


def test_a_missing_key_is_not_found(store: SoftwareKeyStore) -> None:
    with pytest.raises(KeyNotFound):
        store.private_key("root-g1")


def test_a_key_that_was_removed_is_not_found_though_it_was_opened_before(store: SoftwareKeyStore, folder: Path) -> None:
    store.generate("root-g1", KeyAlgorithm.P_256)
    (folder / "root-g1.pem").unlink()
    with pytest.raises(KeyNotFound):
        store.private_key("root-g1")


def test_an_opened_key_is_not_derived_again(store: SoftwareKeyStore) -> None:
    store.generate("root-g1", KeyAlgorithm.P_256)
    assert store.private_key("root-g1") is store.private_key("root-g1")


def test_a_wrong_passphrase_opens_nothing(store: SoftwareKeyStore, folder: Path) -> None:
    store.generate("root-g1", KeyAlgorithm.P_256)
    with pytest.raises(KeyStoreFault):
        SoftwareKeyStore(folder, b"wrong horse").private_key("root-g1")


def test_a_short_passphrase_stops_the_start(folder: Path) -> None:
    with pytest.raises(ConfigurationError):
        SoftwareKeyStore(folder, b"1234567")
    assert not folder.exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_is_open_to_others_is_refused(store: SoftwareKeyStore, folder: Path, mode: int) -> None:
    store.generate("root-g1", KeyAlgorithm.P_256)
    (folder / "root-g1.pem").chmod(mode)
    with pytest.raises(KeyStoreFault):
        store.private_key("root-g1")


def test_a_symbolic_link_is_refused(store: SoftwareKeyStore, folder: Path) -> None:
    store.generate("root-g1", KeyAlgorithm.P_256)
    os.symlink(folder / "root-g1.pem", folder / "other.pem")
    with pytest.raises(KeyStoreFault):
        store.private_key("other")


@pytest.mark.parametrize("kept", [0, 1, 100, 400])
def test_a_truncated_file_is_refused(store: SoftwareKeyStore, folder: Path, kept: int) -> None:
    store.generate("root-g1", KeyAlgorithm.P_256)
    file = folder / "root-g1.pem"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(KeyStoreFault):
        SoftwareKeyStore(folder, PASSPHRASE).private_key("root-g1")


def place(folder: Path, pem: bytes) -> None:
    (folder / "root-g1.pem").write_bytes(pem)
    (folder / "root-g1.pem").chmod(0o600)


def test_a_key_that_is_not_encrypted_is_refused(store: SoftwareKeyStore, folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    place(folder, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(KeyStoreFault):
        store.private_key("root-g1")


def test_a_key_on_another_curve_is_refused(store: SoftwareKeyStore, folder: Path) -> None:
    place(folder, seal_private_key(ec.generate_private_key(ec.SECP521R1()), PASSPHRASE, os.urandom))
    with pytest.raises(KeyAlgorithmRefused):
        store.private_key("root-g1")


def test_the_key_signs(store: SoftwareKeyStore) -> None:
    key = store.generate("root-g1", KeyAlgorithm.P_256)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(b"octets", ec.ECDSA(hashes.SHA256()))
    key.public_key().verify(signature, b"octets", ec.ECDSA(hashes.SHA256()))
