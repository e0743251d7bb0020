"""A small country's authorities for tests, made by a real ceremony in a fast key store."""

import threading
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ca_core.audit import AuditLog
from ca_core.authorities import AuthorityRegistry, CeremonyRecord
from ca_core.authorities.ceremony import run_ceremony
from ca_core.authorities.ceremony_file import Ceremony, parse_ceremony
from ca_core.issuance import CertificateStore, IssuanceRequest, IssuanceService
from ca_core.issuance.authority_issuer import AuthorityIssuer
from ca_core.issuance.checkpoint import Checkpoint, no_checkpoint
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.rng import Rng
from ca_core.keys import KeyAlgorithm, KeyExists, KeyNotFound, KeyStore, PrivateKey, PublicKey
from ca_core.keys.model import MlDsaPrivateKey, new_private_key, verify_label
from ca_core.profiles import load_profiles
from ca_core.revocation import RevocationService

PUBLICATION_URL = "http://pki.example.tw/pki"
CITIZEN_PROFILES = (
    "citizen-authentication",
    "citizen-signature",
    "citizen-encryption",
    "citizen-legacy-signature",
    "citizen-legacy-encryption",
)
ISSUING_SUBJECT = (("C", "TW"), ("O", "行政院"), ("OU", "內政部憑證管理中心"))
"""The name that every generation of the citizens' authority has, to the octet."""


class MemoryKeyStore:
    """A KeyStore in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, PrivateKey] = {}
        self._lock = threading.Lock()

    def generate(self, label: str, algorithm: KeyAlgorithm) -> PrivateKey:
        verify_label(label)
        key = new_key(algorithm)
        with self._lock:
            if self.keys.setdefault(label, key) is not key:
                raise KeyExists(label)
        return key

    def private_key(self, label: str) -> PrivateKey:
        verify_label(label)
        try:
            return self.keys[label]
        except KeyError as error:
            raise KeyNotFound(label) from error


def new_key(algorithm: KeyAlgorithm = KeyAlgorithm.P_256) -> PrivateKey:
    """A key outside any store."""
    return new_private_key(algorithm)


def certification_request(key: PrivateKey) -> x509.CertificateSigningRequest:
    """A PKCS#10 request: proof of possession, with an empty name."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key, None if isinstance(key, MlDsaPrivateKey) else hashes.SHA256())
    )


@dataclass
class World:
    """Everything that issues, over one database. Services that a test needs to be different it makes itself."""

    database: Database
    clock: Clock
    rng: Rng
    key_store: KeyStore = field(default_factory=MemoryKeyStore)
    publication_url: str = PUBLICATION_URL
    checkpoint: Checkpoint = no_checkpoint

    def __post_init__(self) -> None:
        self.audit = AuditLog(self.clock, self.rng)
        self.registry = AuthorityRegistry(self.database, self.clock)
        self.profiles = load_profiles()
        self.revocation = RevocationService(self.database, CertificateStore(), self.audit, self.clock)
        self.issuance = IssuanceService(
            database=self.database,
            registry=self.registry,
            key_store=self.key_store,
            profiles=self.profiles,
            audit=self.audit,
            publication_url=self.publication_url,
            clock=self.clock,
            rng=self.rng,
            checkpoint=self.checkpoint,
            revocation=self.revocation,
        )

    def hold(self, ceremony: Ceremony) -> CeremonyRecord:
        """Runs a ceremony."""
        return run_ceremony(
            ceremony,
            self.key_store,
            database=self.database,
            registry=self.registry,
            issuer=AuthorityIssuer(self.issuance),
            audit=self.audit,
            clock=self.clock,
            held_by="operator:ceremony",
        )


def ceremony_toml(
    *,
    root: str = "root-g1",
    issuing: tuple[str, ...] = ("citizen-g1",),
    algorithm: KeyAlgorithm = KeyAlgorithm.P_256,
    root_algorithm: KeyAlgorithm = KeyAlgorithm.P_384,
    with_root: bool = True,
    publication_url: str = PUBLICATION_URL,
    also: tuple[str, ...] = (),
) -> str:
    """A ceremony file: a root (unless it exists) and issuing authorities that all have the same name.

    also: profiles that they issue besides."""
    lines = [
        'title = "Test ceremony"',
        'location = "Taipei"',
        f'publication_url = "{publication_url}"',
        'participants = [{ name = "Witness", role = "auditor" }]',
    ]
    if with_root:
        lines += [
            "[[authorities]]",
            f'slug = "{root}"',
            'profile = "root-ca"',
            'issuer = "self"',
            f'key_algorithm = "{root_algorithm}"',
            'subject = [{ type = "C", value = "TW" }, { type = "O", value = "行政院" },'
            ' { type = "CN", value = "Test Root - G1" }]',
            'issues = ["issuing-ca", "ocsp-responder"]',
        ]
    for slug in issuing:
        subject = ", ".join(f'{{ type = "{kind}", value = "{value}" }}' for kind, value in ISSUING_SUBJECT)
        issues = ", ".join(f'"{name}"' for name in (*CITIZEN_PROFILES, "ocsp-responder", "internal-tls", *also))
        lines += [
            "[[authorities]]",
            f'slug = "{slug}"',
            'profile = "issuing-ca"',
            f'issuer = "{root}"',
            f'key_algorithm = "{algorithm}"',
            f"subject = [{subject}]",
            f"issues = [{issues}]",
        ]
    return "\n".join(lines) + "\n"


def ceremony(**options: object) -> Ceremony:
    """The parsed form of `ceremony_toml`."""
    return parse_ceremony(ceremony_toml(**options).encode("utf-8"))  # type: ignore[arg-type]  # passed through


def make_world(
    database: Database,
    clock: Clock,
    rng: Rng,
    *,
    issuing: tuple[str, ...] = ("citizen-g1",),
    key_store: KeyStore | None = None,
    algorithm: KeyAlgorithm = KeyAlgorithm.P_256,
    also: tuple[str, ...] = (),
    checkpoint: Checkpoint = no_checkpoint,
) -> World:
    """A World after its ceremony: root-g1 (P-384) and the issuing authorities (P-256), all of the same name."""
    store = MemoryKeyStore() if key_store is None else key_store
    world = World(database, clock, rng, key_store=store, checkpoint=checkpoint)
    world.hold(ceremony(issuing=issuing, algorithm=algorithm, also=also))
    return world


def citizen_request(
    request_id: str = "request-1",
    *,
    profile: str = "citizen-authentication",
    authority: str = "citizen-g1",
    key: PrivateKey | None = None,
    public_key: PublicKey | None = None,
    common_name: str | None = "王小明",
    subject_serial_number: str | None = "0000000112345678",
    national_id_last4: str | None = "6789",
    person_id: str | None = "person-1",
    card_number: str | None = "1234567890123456",
    **others: object,
) -> IssuanceRequest:
    """A request that passes, unless something is changed. key: whose possession is proven (a new P-256 key)."""
    key = new_key() if key is None else key
    fields: dict[str, object] = {"csr": certification_request(key), "actor": "operator:1", **others}
    return IssuanceRequest(
        request_id=request_id,
        profile=profile,
        authority=authority,
        public_key=key.public_key() if public_key is None else public_key,
        common_name=common_name,
        subject_serial_number=subject_serial_number,
        national_id_last4=national_id_last4,
        person_id=person_id,
        card_number=card_number,
        **fields,  # type: ignore[arg-type]  # checked by the dataclass
    )
