"""Programs that nobody here wrote use our card: OpenSC's tools, openssl, yubico-piv-tool."""

import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from bridge_card_kit import NUMBER, PIN, PUK, Bench, bench, certificate_for, finished_card, public_pem
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

from card_bridge.piv.card_number import guid_of
from card_bridge.piv.model import KeyAlgorithm, Slot
from card_bridge.virtual import PLAIN_CARD, VENDOR_CARD, CardProfile, VirtualCard
from card_bridge.virtual.profile import CONTACT_T0

PKCS11 = "pkcs11-tool --module opensc-pkcs11.so"
LOGIN = f"{PKCS11} --login --pin {PIN.decode()}"
YUBICO = "yubico-piv-tool -r Virtual"
IDS = {Slot.AUTHENTICATION: "01", Slot.SIGNATURE: "02", Slot.ENCRYPTION: "03"}
EVERY_KIND = pytest.mark.parametrize(
    "profile",
    [VENDOR_CARD, PLAIN_CARD, CardProfile(atr=CONTACT_T0, vendor_extensions=False)],
    ids=["vendor", "plain", "plain-t0"],
)


@pytest.fixture(scope="module")
def table() -> Iterator[Bench]:
    with bench() as one:
        yield one


def said(result: subprocess.CompletedProcess[bytes]) -> str:
    text = result.stdout.decode() + result.stderr.decode()
    assert result.returncode == 0, text
    return text


@EVERY_KIND
def test_opensc_lists_the_keys_and_certificates(table: Bench, profile: CardProfile) -> None:
    card, _ = finished_card(profile=profile)
    with table.inserted(card):
        public = said(table.tool(f"{PKCS11} -O"))
        private = said(table.tool(f"{LOGIN} -O"))
        name = said(table.tool("opensc-tool -n"))

    assert "Personal Identity Verification" in name
    assert public.count("Certificate Object") == 3
    for slot in IDS:
        assert f"CN=Key {slot}" in public
    assert private.count("Private Key Object") == 3
    for identifier in IDS.values():
        assert private.count(f"ID:         {identifier}") == 3  # certificate, public key, private key
    assert "always authenticate" in private.lower()


@EVERY_KIND
@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.SIGNATURE])
def test_opensc_signs_ecdsa_and_openssl_verifies(
    table: Bench, profile: CardProfile, slot: Slot, tmp_path: Path
) -> None:
    key, digest, signature = (tmp_path / name for name in ("key.pem", "digest", "signature"))
    card, certificates = finished_card(profile=profile)
    key.write_bytes(public_pem(certificates[slot]))
    digest.write_bytes(sha256(b"a statement").digest())
    with table.inserted(card):
        signing = f"--sign --mechanism ECDSA --signature-format openssl --id {IDS[slot]} -i {digest} -o {signature}"
        said(table.tool(f"{LOGIN} {signing}"))

    verdict = table.tool(f"openssl pkeyutl -verify -pubin -inkey {key} -sigfile {signature} -in {digest}")
    assert "Verified Successfully" in said(verdict)


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.SIGNATURE])
def test_opensc_signs_rsa_and_openssl_verifies(table: Bench, slot: Slot, tmp_path: Path) -> None:
    key, text, signature = (tmp_path / name for name in ("key.pem", "text", "signature"))
    card, certificates = finished_card(KeyAlgorithm.RSA_2048)
    key.write_bytes(public_pem(certificates[slot]))
    text.write_bytes(b"a statement")
    with table.inserted(card):
        said(table.tool(f"{LOGIN} --sign --mechanism SHA256-RSA-PKCS --id {IDS[slot]} -i {text} -o {signature}"))

    assert "Verified OK" in said(table.tool(f"openssl dgst -sha256 -verify {key} -signature {signature} {text}"))


def test_opensc_decrypts_what_openssl_encrypted(table: Bench, tmp_path: Path) -> None:
    key, secret, plain = (tmp_path / name for name in ("key.pem", "secret", "plain"))
    card, certificates = finished_card(KeyAlgorithm.RSA_2048)
    key.write_bytes(public_pem(certificates[Slot.ENCRYPTION]))
    said(table.tool(f"openssl pkeyutl -encrypt -pubin -inkey {key} -out {secret}", stdin=b"a letter"))
    with table.inserted(card):
        said(table.tool(f"{LOGIN} --decrypt --mechanism RSA-PKCS --id 03 -i {secret} -o {plain}"))

    assert plain.read_bytes() == b"a letter"


def test_opensc_counts_wrong_pins_down_and_the_puk_unblocks(table: Bench) -> None:
    card, _ = finished_card()
    with table.inserted(card):
        for word in ("(SW1=0x63, SW2=0xC2)", "(SW1=0x63, SW2=0xC1)", "(SW1=0x69, SW2=0x83)"):
            refused = table.tool(f"{PKCS11} --login --pin 999999 -O")
            assert b"CKR_PIN_INCORRECT" in refused.stderr or b"CKR_PIN_LOCKED" in refused.stderr
            assert word in said(table.tool("opensc-tool -s 00:20:00:80"))
        assert b"CKR_PIN_LOCKED" in table.tool(f"{LOGIN} -O").stderr
        unblocked = table.tool(f"{YUBICO} -a unblock-pin -P {PUK.decode()} -N 112233")
        assert "Successfully unblocked" in said(unblocked)
        assert "Private Key Object" in said(table.tool(f"{PKCS11} --login --pin 112233 -O"))


def test_yubicos_tool_reads_the_card_and_its_makers_word(table: Bench) -> None:
    card, _ = finished_card()
    with table.inserted(card):
        status = said(table.tool(f"{YUBICO} -a status"))
        verified = said(table.tool(f"{YUBICO} -a verify-pin -P {PIN.decode()}"))
        attested = said(table.tool(f"{YUBICO} -a attest -s 9a"))

    assert guid_of(NUMBER).hex() in status
    assert "PIN tries left:\t3" in status
    assert all(f"Slot {slot.lower()}" in status for slot in IDS)
    assert "Successfully verified PIN" in verified
    assert "BEGIN CERTIFICATE" in attested


@pytest.mark.parametrize(("algorithm", "slot"), [("ECCP256", "9a"), ("RSA2048", "9c"), ("ECCP384", "9a")])
def test_yubicos_tool_personalises_a_blank_card(table: Bench, tmp_path: Path, algorithm: str, slot: str) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    with table.inserted(VirtualCard()):
        said(table.tool(f"{YUBICO} -a generate -A {algorithm} -s {slot} -o {key}"))
        public_key = load_pem_public_key(key.read_bytes())
        assert isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        der = certificate_for(Slot(slot.upper()), public_key)
        certificate.write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
        said(table.tool(f"{YUBICO} -a import-certificate -s {slot} -i {certificate}"))
        said(table.tool(f"{YUBICO} -a set-chuid -a set-ccc"))
        said(table.tool(f"{YUBICO} -a change-pin -P 123456 -N 654321"))
        verify = f"{YUBICO} -a verify-pin -P 654321"
        signed = said(table.tool(f"{verify} -a test-signature -s {slot} -i {certificate}"))
        listed = said(table.tool(f"{PKCS11} -O --login --pin 654321"))

    assert "Successful" in signed
    assert f"CN=Key {slot.upper()}" in listed and "Private Key Object" in listed
