"""Everything that makes CRLs, deltas and shards over a small PKI, and the outside judges of them."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ca_core.audit import AuditLog
from ca_core.authorities.model import Authority
from ca_core.crl_shards import ShardLayouts
from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.rng import Rng
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import CrlArchive, CrlService
from ca_core.status.crl_checker import CrlCheck, CrlChecker
from ca_core.status.crl_steps import CrlCheckpoint, no_checkpoint
from support.processes import required_program, run
from support.small_pki import SmallPki

PUBLICATION_URL = "http://pki.example.tw/pki"
ACTOR = "operator:7"
LINT_CRL = Path(sys.executable).parent / "lint_crl"


@dataclass
class CrlWorld:
    """Authorities root-g1, citizen-g2, citizen-g3 (the last two of one name), with deltas and, where wanted, shards."""

    database: Database
    clock: Clock
    rng: Rng
    pki: SmallPki
    checkpoint: CrlCheckpoint = no_checkpoint

    def __post_init__(self) -> None:
        self.audit = AuditLog(self.clock, self.rng)
        self.log = StatusLog()
        self.shards = ShardLayouts(self.database, self.audit, self.clock)
        self.revocations = RevocationService(self.database, self.pki.certificates, self.audit, self.clock)
        self.archive = CrlArchive(self.database, self.pki.authorities)
        self.crls = CrlService(
            self.database,
            self.pki.authorities,
            self.pki.keys,
            self.log,
            self.audit,
            self.clock,
            publication_url=PUBLICATION_URL,
            shards=self.shards,
            checkpoint=self.checkpoint,
        )

    def introduce(self, authority: Authority, count: int, *, url: str = PUBLICATION_URL) -> None:
        self.shards.introduce(authority.id, authority.slug, count=count, publication_url=url, actor=ACTOR)

    def issue(self, authority: Authority, **options: object) -> IssuedCertificate:
        """A certificate whose distribution points are its shard, where there is one, and the complete CRL."""
        layout = self.shards.current(authority.id)
        serial = options.pop("serial", None) or (0x7B << 104) + len(self.pki.certificates.kept)
        uris = [f"{PUBLICATION_URL}/crl/{authority.slug}.crl"]
        if layout is not None:
            uris.insert(0, layout.shard_of(int(str(serial))).uri)
        points = x509.CRLDistributionPoints(
            [x509.DistributionPoint([x509.UniformResourceIdentifier(uri)], None, None, None) for uri in uris]
        )
        return self.pki.issue(authority, serial=int(str(serial)), extra=((points, False),), **options)  # type: ignore[arg-type]  # passed through

    def revoke(self, *several: IssuedCertificate, reason: RevocationReason = RevocationReason.SUPERSEDED) -> None:
        for issued in several:
            self.revocations.revoke(issued.authority_id, issued.serial, reason, ACTOR)

    def complete(self, slug: str = "citizen-g3") -> x509.CertificateRevocationList:
        return _loaded(self.archive.latest(slug))

    def delta(self, slug: str = "citizen-g3") -> x509.CertificateRevocationList:
        return _loaded(self.archive.latest_delta(slug))

    def shard(self, number: int, slug: str = "citizen-g3") -> x509.CertificateRevocationList:
        return _loaded(self.archive.latest_shard(slug, number))

    def check(self, slug: str = "citizen-g3") -> CrlCheck:
        checker = CrlChecker(self.database, self.pki.authorities, self.log, self.clock, shards=self.shards)
        return checker.check(slug)


def _loaded(der: bytes | None) -> x509.CertificateRevocationList:
    assert der is not None
    return x509.load_der_x509_crl(der)


def serials(crl: x509.CertificateRevocationList) -> set[int]:
    return {entry.serial_number for entry in crl}


def number_of(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def judge(crl: x509.CertificateRevocationList, issuer: Authority, folder: Path) -> None:
    """openssl, certtool and pkilint accept it."""
    path, ca = folder / "judged.crl", folder / "judged-ca.pem"
    path.write_bytes(crl.public_bytes(Encoding.DER))
    ca.write_bytes(issuer.certificate.public_bytes(Encoding.PEM))
    openssl = required_program("openssl")
    said = run([openssl, "crl", "-inform", "DER", "-in", path, "-CAfile", ca, "-noout", "-verify"])
    assert "verify OK" in said.stdout + said.stderr
    certtool = [required_program("certtool"), "--crl-info", "--inder", "--infile", path]
    assert f"{number_of(crl):x}" in run(certtool).stdout.replace(":", "").lower()
    linted = run([LINT_CRL, "lint", "-t", "CRL", "-p", "PKIX", path, "-s", "NOTICE", "-f", "TEXT"], check=False)
    assert (linted.returncode, linted.stdout.strip()) == (0, ""), linted.stdout + linted.stderr


def store_keys(pki: SmallPki, folder: Path) -> None:
    """The authorities, for a child process."""
    for authority in pki.authorities.all():
        key = pki.keys.private_key(authority.key_label)
        (folder / f"{authority.slug}.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
        (folder / f"{authority.slug}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )


def load_keys(folder: Path) -> SmallPki:
    """The same authorities in another process."""
    pki = SmallPki()
    for number, authority in enumerate(pki.authorities.kept):
        certificate = x509.load_pem_x509_certificate((folder / f"{authority.slug}.pem").read_bytes())
        key = load_pem_private_key((folder / f"{authority.slug}.key").read_bytes(), password=None)
        ski = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        values = {name: getattr(authority, name) for name in Authority.__slots__}
        pki.authorities.kept[number] = Authority(**values | {"certificate": certificate, "key_identifier": ski})
        pki.keys.kept[authority.slug] = key  # type: ignore[assignment]  # an EC key of ours
    return pki


def kill_child_environment(tests: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tests)}
