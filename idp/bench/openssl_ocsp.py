"""The second yardstick of `ocsp`: `openssl ocsp -port` over an index file of the same certificates."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca_core.kernel.clock import system_clock
from idp.bench.errors import BenchFailed
from idp.bench.ocsp_country import Asked, Expected
from idp.bench.server import Program, ServerUnderTest


@contextmanager
def openssl_ocsp(
    folder: Path, issuer: x509.Certificate, asked: Sequence[Asked], port: int
) -> Iterator[ServerUnderTest]:
    """Starts it, and stops it at the end. It signs with a P-256 key, as ours does.

    It answers for the issuer that it is told of; that its signer was certified by somebody else it does not mind.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        raise BenchFailed("openssl is not installed; run `make setup`")
    (folder / "index.txt").write_text("".join(_index_line(one) for one in asked))
    (folder / "ca.pem").write_bytes(issuer.public_bytes(Encoding.PEM))
    _write_signer(folder)
    command = [openssl, "ocsp", "-port", str(port), "-index", "index.txt", "-CA", "ca.pem", "-nmin", "30"]
    command += ["-rsigner", "signer.pem", "-rkey", "signer.key"]
    with Program(["env", "-C", str(folder), *command], log=folder / "openssl.log") as program:
        _wait_for(program, folder / "openssl.log")
        yield ServerUnderTest(origin=f"http://127.0.0.1:{port}", pid=program.pid)


def _index_line(one: Asked) -> str:
    serial = format(ocsp.load_der_ocsp_request(one.request).serial_number, "X")
    serial = serial if len(serial) % 2 == 0 else f"0{serial}"
    end, at = "360101000000Z", "260101000000Z"
    if one.expected is Expected.REVOKED:
        return f"R\t{end}\t{at},keyCompromise\t{serial}\tunknown\t/CN={serial}\n"
    return f"V\t{end}\t\t{serial}\tunknown\t/CN={serial}\n"


def _write_signer(folder: Path) -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), system_clock().astimezone(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "yardstick")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_day(now, -1))
        .not_valid_after(_day(now, 30))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)
        .sign(key, hashes.SHA256())
    )
    (folder / "signer.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "signer.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # a yardstick's, thrown away
    )


def _day(now: datetime, days: int) -> datetime:
    return now + timedelta(days=days)


def _wait_for(program: Program, log: Path) -> None:
    """Until it says so itself: a connection that is opened only to try would keep it waiting for a request."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and program.running():
        if b"waiting for" in log.read_bytes():
            return
        time.sleep(0.05)
    raise BenchFailed(f"openssl ocsp did not start: {log.read_text(errors='replace')[-500:]}")
