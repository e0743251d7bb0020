"""A World whose acts reach a second place before they are acknowledged."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from ca_core.backup.journal import Journal, JournalCheckpoint, found_journal
from ca_core.backup.service import BackupService
from ca_core.crl_shards import ShardLayouts
from ca_core.issuance import CertificateStore, IssuanceRequest, IssuanceService
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.rng import Rng
from ca_core.kernel.second_place import SecondPlace
from ca_core.keys import SoftwareKeyStore
from ca_core.revocation import RevocationService, StatusLog
from ca_core.status.crl import CrlService
from support.pki import World, ceremony, citizen_request

PASSPHRASE = b"for tests only"


def request_of(number: int) -> IssuanceRequest:
    """The same request, with the same key, in every process."""
    key = ec.derive_private_key(1_000_003 * (number + 1), ec.SECP256R1())
    return citizen_request(f"request-{number}", key=key, card_number=f"{number:016d}", person_id=f"person-{number}")


@dataclass
class Guarded:
    """Issuance, revocation and lists over one database and one journal."""

    url: str
    folder: Path
    database: Database
    clock: Clock
    rng: Rng
    checkpoint: JournalCheckpoint | None = None
    second_place: SecondPlace | None = None

    def __post_init__(self) -> None:
        self.keys = SoftwareKeyStore(self.folder / "keys", PASSPHRASE)
        self.world = World(self.database, self.clock, self.rng, key_store=self.keys)
        self.journal = Journal(self.folder / "second", checkpoint=self.checkpoint)
        place = self.journal if self.second_place is None else self.second_place
        self.shards = ShardLayouts(self.database, self.world.audit, self.clock, second_place=place)
        self.revocation = RevocationService(
            self.database, CertificateStore(), self.world.audit, self.clock, second_place=place
        )
        self.issuance = IssuanceService(
            database=self.database,
            registry=self.world.registry,
            key_store=self.keys,
            profiles=self.world.profiles,
            audit=self.world.audit,
            publication_url=self.world.publication_url,
            clock=self.clock,
            rng=self.rng,
            crl_shards=self.shards,
            second_place=place,
            revocation=self.revocation,
        )
        self.crls = CrlService(
            self.database,
            self.world.registry,
            self.keys,
            StatusLog(),
            self.world.audit,
            self.clock,
            publication_url=self.world.publication_url,
            shards=self.shards,
            second_place=place,
        )
        self.backups = BackupService(
            self.url,
            journal=self.journal,
            key_folder=self.folder / "keys",
            audit=self.world.audit,
            clock=self.clock,
            rng=self.rng,
        )

    def found(self) -> None:
        """The second place, and a root with one issuing authority."""
        found_journal(self.folder / "second", self.rng)
        self.world.issuance = self.issuance
        self.world.hold(ceremony(also=("passkey",)))

    @property
    def authority_id(self) -> int:
        return self.world.registry.by_slug("citizen-g1").id
