"""An authority with many revoked certificates, for the CRL bench: its key, its certificate, its status log.

The log is loaded in bulk, with the same columns and octets that a revocation writes; the certificates themselves are
not there, since nothing that makes a CRL reads them.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from ca_core import schema
from ca_core.audit.service import AuditLog
from ca_core.authorities.errors import AuthorityNotFound
from ca_core.authorities.model import Authority, AuthorityRole
from ca_core.crl_shards.service import ShardLayouts
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.rng import system_rng
from ca_core.keys.errors import KeyNotFound
from ca_core.keys.model import PrivateKey, key_identifier
from ca_core.revocation.crl_entry import crl_entry
from ca_core.revocation.log import StatusLog
from ca_core.revocation.model import RevocationReason
from ca_core.status.crl import CrlService

SLUG = "bench-ca"
SHARDS = 16
PUBLICATION_URL = "http://pki.example.tw/pki"
_REASONS = (RevocationReason.SUPERSEDED, RevocationReason.CESSATION_OF_OPERATION, RevocationReason.KEY_COMPROMISE)
_ROW = text(
    "INSERT INTO status_changes (seq, certificate_id, authority_id, serial, change, reason, at, invalidity_date, actor,"
    " not_after, crl_shard, by_origin, crl_entry_der) VALUES (:seq, :seq, 1, :serial, 'revoke', :reason, :at, NULL,"
    " 'operator:bench', :not_after, :shard, false, :entry)"
)
_HEAD = text("INSERT INTO status_head (id, seq) VALUES (1, :seq)")
_BATCH = 20_000


class BenchAuthority:
    """One authority, as a registry and a key store: from two files in a folder."""

    def __init__(self, folder: Path) -> None:
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("the bench's key is RSA")
        self._key = key
        self.authority = Authority(
            id=1,
            slug=SLUG,
            role=AuthorityRole.ISSUING,
            certificate=certificate,
            certificate_id=1,
            key_label=SLUG,
            parent_id=None,
            key_identifier=key_identifier(key.public_key()),
            profiles=frozenset(),
        )

    def all(self) -> tuple[Authority, ...]:
        return (self.authority,)

    def by_slug(self, slug: str) -> Authority:
        if slug != SLUG:
            raise AuthorityNotFound(slug)
        return self.authority

    def by_id(self, authority_id: int) -> Authority:
        if authority_id != self.authority.id:
            raise AuthorityNotFound(str(authority_id))
        return self.authority

    def by_key_hash(
        self, issuer_key_hash: bytes, algorithm: hashes.HashAlgorithm, issuer_name_hash: bytes | None = None
    ) -> Authority | None:
        return None

    def generate(self, label: str, algorithm: object) -> PrivateKey:
        raise KeyNotFound(label)

    def private_key(self, label: str) -> PrivateKey:
        return self._key


def open_database(folder: Path) -> Database:
    return Database.open(sqlite_url(folder / "bench.db"))


def services(folder: Path, database: Database) -> tuple[CrlService, ShardLayouts, AuditLog, BenchAuthority]:
    """What makes CRLs, over the bench's database."""
    authority = BenchAuthority(folder)
    audit = AuditLog(system_clock, system_rng)
    shards = ShardLayouts(database, audit, system_clock)
    crls = CrlService(
        database,
        authority,
        authority,
        StatusLog(),
        audit,
        system_clock,
        publication_url=PUBLICATION_URL,
        shards=shards,
    )
    return crls, shards, audit, authority


def found(folder: Path, revoked: int) -> None:
    """Makes key, certificate, tables and log, and beside them the same revocations as `openssl ca` keeps them."""
    now = system_clock().replace(microsecond=0)
    _found_authority(folder, now)
    database = open_database(folder)
    try:
        schema.metadata.create_all(database.engine)
        with (folder / "index.txt").open("w", encoding="ascii") as index, database.engine.begin() as connection:
            rows = []
            for row in _revocations(now, revoked):
                rows.append(row)
                index.write(_index_line(row, now))
                if len(rows) == _BATCH:
                    connection.execute(_ROW, rows)
                    rows = []
            if rows:
                connection.execute(_ROW, rows)
            connection.execute(_HEAD, {"seq": revoked})
            connection.execute(text("ANALYZE"))
    finally:
        database.dispose()


def _found_authority(folder: Path, now: datetime) -> None:
    key = rsa.generate_private_key(65537, 4096)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "TW"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "行政院"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "內政部憑證管理中心"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=365))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.SubjectKeyIdentifier(key_identifier(key.public_key())), False)
        .add_extension(x509.BasicConstraints(True, 0), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "ca.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _revocations(now: datetime, count: int) -> Iterator[dict[str, object]]:
    """The same in every run, but for their dates: 16-octet serials, five years of revocations."""
    random = Random(count)  # noqa: S311 - invented serials
    span_s = 5 * 365 * 86_400
    epoch = datetime.fromtimestamp(0, tz=now.tzinfo)
    for number in range(1, count + 1):
        serial = random.getrandbits(126) | (1 << 126)
        at = now - timedelta(seconds=span_s - span_s * number // count)
        reason = _REASONS[number % len(_REASONS)]
        yield {
            "seq": number,
            "serial": format(serial, "040x"),
            "reason": reason.value,
            "at": (at - epoch) // timedelta(microseconds=1),
            "not_after": (now + timedelta(days=1 + number % 1800) - epoch) // timedelta(microseconds=1),
            "shard": serial % SHARDS,
            "entry": crl_entry(serial, at, reason),
        }


def _index_line(row: dict[str, object], now: datetime) -> str:
    """A revoked certificate's line in the text database of `openssl ca`."""
    epoch = datetime.fromtimestamp(0, tz=now.tzinfo)
    at, ends = (epoch + timedelta(microseconds=int(str(row[name]))) for name in ("at", "not_after"))
    serial = f"{int(str(row['serial']), 16):X}"
    serial = serial if len(serial) % 2 == 0 else "0" + serial
    return f"R\t{ends:%y%m%d%H%M%SZ}\t{at:%y%m%d%H%M%SZ},{row['reason']}\t{serial}\tunknown\t/CN={row['seq']}\n"
