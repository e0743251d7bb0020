"""For tests with a real pcscd: a finished card in a reader of our own, and a process that sees that reader alone."""

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from card_bridge.personalisation.model import FactorySecrets, Order
from card_bridge.personalisation.piv_card import ReaderBench
from card_bridge.personalisation.station import Station
from card_bridge.piv.errors import CardError
from card_bridge.piv.model import KeyAlgorithm, Slot
from card_bridge.virtual import VENDOR_CARD, CardProfile, InsertedCard, PrivateReader, VirtualCard
from card_bridge.virtual.direct import DirectReader, DirectReaders

PIN, PUK = b"246813", b"97531864"
NUMBER = "8812345678901234"
_CA_KEY = ec.generate_private_key(ec.SECP256R1())
_CA_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Throwaway CA")])


def certify(requests: Mapping[Slot, bytes]) -> dict[Slot, bytes]:
    """Certificates in DER of a CA that nobody will hear of again."""
    certificates = {}
    for slot, der in requests.items():
        request = x509.load_der_x509_csr(der)
        assert request.is_signature_valid
        certificates[slot] = certificate_for(slot, request.public_key())
    return certificates


def certificate_for(slot: Slot, public_key: CertificatePublicKeyTypes) -> bytes:
    flags = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    if slot is Slot.ENCRYPTION:
        flags["key_encipherment" if isinstance(public_key, rsa.RSAPublicKey) else "key_agreement"] = True
    else:
        flags["digital_signature"] = True
        flags["content_commitment"] = slot is Slot.SIGNATURE
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Key {slot}")]))
        .issuer_name(_CA_NAME)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.KeyUsage(**flags), critical=True)
        .sign(_CA_KEY, SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def order(algorithm: KeyAlgorithm, number: str = NUMBER) -> Order:
    return Order(
        card_number=number,
        keys=dict.fromkeys((Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.ENCRYPTION), algorithm),
        pin=PIN,
        puk=PUK,
        management_key=bytes(range(32)),
    )


def finished_card(
    algorithm: KeyAlgorithm = KeyAlgorithm.P_256, profile: CardProfile = VENDOR_CARD, number: str = NUMBER
) -> tuple[VirtualCard, dict[Slot, bytes]]:
    """A personalised card, and its certificates."""
    card = VirtualCard(profile=profile)
    station = Station(ReaderBench(DirectReaders(it=DirectReader(card)), None, FactorySecrets()))
    certificates = certify(station.generate(order(algorithm, number)))
    station.write(certificates)
    return card, certificates


def public_pem(der: bytes) -> bytes:
    return (
        x509.load_der_x509_certificate(der)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@dataclass(frozen=True)
class Bench:
    """A private reader and what is run against it."""

    reader: PrivateReader
    worker: ProcessPoolExecutor

    def tool(self, line: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """A program that sees these readers alone; line: as for a shell."""
        return subprocess.run(
            shlex.split(line),
            input=stdin,
            capture_output=True,
            env={**os.environ, **self.reader.env},
            timeout=60,
            check=False,
        )

    @contextmanager
    def inserted(self, card: VirtualCard, place: int = 0) -> Iterator[InsertedCard]:
        """The card in a reader, and known to pcscd."""
        with InsertedCard(card, self.reader.ports[place]) as inserted:
            assert self.worker.submit(wait_for, self.reader.names[place], present=True).result(20)
            try:
                yield inserted
            finally:
                inserted.remove()
                assert self.worker.submit(wait_for, self.reader.names[place], present=False).result(20)


@contextmanager
def bench() -> Iterator[Bench]:
    with PrivateReader() as reader, child_of(reader) as worker:
        yield Bench(reader, worker)


@contextmanager
def child_of(reader: PrivateReader) -> Iterator[ProcessPoolExecutor]:
    """A process of its own: libpcsclite reads the socket's name once a process."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=use_environment, initargs=(dict(reader.env),)) as worker:
        yield worker


def use_environment(variables: dict[str, str]) -> None:
    """In the child, before anything loads libpcsclite."""
    os.environ.update(variables)


def wait_for(reader_name: str, *, present: bool) -> bool:
    """In the child: whether the reader came to hold a card, or to hold none, within ten seconds."""
    import time

    from card_bridge.piv.pcsc import PcscReaders

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if any(state.name == reader_name and state.card_present is present for state in PcscReaders().list()):
            return True
        time.sleep(0.02)
    return False


def told(error: CardError) -> tuple[str, int | None]:
    """An error as it crosses a process border."""
    return error.code, getattr(error, "tries_left", None)
