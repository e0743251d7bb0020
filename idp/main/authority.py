"""The certification authority's services, from settings."""

from pathlib import Path

from cryptography import x509

from ca_core.audit import AuditLog
from ca_core.audit.published import PublishedLog
from ca_core.audit.sequencer import AuditSequencer
from ca_core.audit.witnesses import Witnesses
from ca_core.authorities.ceremony import CeremonyService
from ca_core.authorities.model import Authority, AuthorityRole
from ca_core.authorities.registry import AuthorityRegistry
from ca_core.backup.journal import Journal
from ca_core.cards.certification import CardCertification
from ca_core.cards.management_key import ManagementKeys
from ca_core.cards.service import CardService
from ca_core.cards.store import CardStore
from ca_core.crl_shards.service import ShardLayouts
from ca_core.issuance.authority_issuer import AuthorityIssuer
from ca_core.issuance.backlog import LintBacklogService
from ca_core.issuance.service import IssuanceService
from ca_core.issuance.store import CertificateStore, IntentStore
from ca_core.kernel.clock import Clock, system_clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.rng import Rng, system_rng
from ca_core.kernel.second_place import WITHOUT_SECOND_PLACE, SecondPlace
from ca_core.kernel.settings import Pkcs11Keys, Role, Settings, SoftwareKeys, read_passphrase, read_secret
from ca_core.keys import KeyStore, SoftwareKeyStore
from ca_core.keys.errors import KeyNotFound
from ca_core.keys.model import KeyAlgorithm, PrivateKey
from ca_core.profiles.loader import load_profiles
from ca_core.registration.sealing import NationalIdKeys
from ca_core.registration.service import RegistrationService
from ca_core.registration.store import PersonStore
from ca_core.revocation.log import StatusLog
from ca_core.revocation.service import RevocationService
from ca_core.signer.client import RemoteIssuance, RemoteLists, SignerClient
from ca_core.signer.proof import ProvingIssuer
from ca_core.signer.tls import TlsFiles
from ca_core.status.crl import CrlService
from ca_core.status.crl_archive import CrlArchive
from ca_core.status.ocsp import OcspResponder
from ca_core.status.responders import Responders
from ca_core.status.service import StatusService
from ca_core.timestamp.clock_health import SteadyClock
from ca_core.timestamp.records import TimestampRecords
from ca_core.timestamp.service import TimestampAuthority
from ca_core.timestamp.units import TimestampUnits
from ca_core.validation.service import CertificateValidator


def open_key_store(keys: SoftwareKeys | Pkcs11Keys) -> KeyStore:
    """The key store that the settings name. Raises: ConfigurationError, Unavailable."""
    if isinstance(keys, SoftwareKeys):
        return SoftwareKeyStore(keys.folder, read_passphrase(keys.passphrase_file))
    try:
        from ca_core.keys.pkcs11 import Pkcs11KeyStore
    except ImportError as error:
        raise ConfigurationError("keys.kind is pkcs11, and the extra `hsm` is not installed") from error
    return Pkcs11KeyStore(keys.module, keys.token_label, read_passphrase(keys.pin_file).decode("utf-8"))


def second_place_of(settings: Settings) -> SecondPlace:
    """Where what is revoked and issued is durable a second time, or nowhere, as the settings say."""
    return WITHOUT_SECOND_PLACE if settings.second_place is None else Journal(settings.second_place)


class NoKeys:
    """The key store of a role that holds none."""

    def generate(self, label: str, algorithm: KeyAlgorithm) -> PrivateKey:
        """Raises: KeyNotFound."""
        raise KeyNotFound(f"{label}: this role holds no keys")

    def private_key(self, label: str) -> PrivateKey:
        """Raises: KeyNotFound."""
        raise KeyNotFound(f"{label}: this role holds no keys")


class CertificationAuthority:
    """Every service of ca_core, over one database. Opens nothing before it is used.

    issuer, lists: who signs for this role. Without `ca_connection` (the roles `all` and `ca`, and commands beside
    them) that is this process, else the role `ca`. Where that is, `issuance` and `crls` find no authority's key here.
    """

    def __init__(self, settings: Settings, *, clock: Clock = system_clock, rng: Rng = system_rng) -> None:
        if settings.pki_base_url is None:
            raise ConfigurationError("pki_base_url: is missing")
        self.settings = settings
        self.clock = clock
        self.rng = rng
        self.database = Database.open(settings.database_dsn(), pool_size=settings.database_pool_size)
        self.key_store: KeyStore = NoKeys() if settings.keys is None else open_key_store(settings.keys)
        self.audit = AuditLog(clock, rng)
        self.sequencer = AuditSequencer(self.database, clock)
        self.registry = AuthorityRegistry(self.database, clock)
        self.certificates = CertificateStore()
        self.second_place = second_place_of(settings)
        self.shards = ShardLayouts(self.database, self.audit, clock, second_place=self.second_place)
        self.revocation = RevocationService(
            self.database, self.certificates, self.audit, clock, second_place=self.second_place
        )
        self.issuance = IssuanceService(
            database=self.database,
            registry=self.registry,
            key_store=self.key_store,
            profiles=load_profiles(),
            audit=self.audit,
            publication_url=settings.pki_base_url,
            clock=clock,
            rng=rng,
            crl_shards=self.shards,
            second_place=self.second_place,
            revocation=self.revocation,
        )
        self.lint_backlog = LintBacklogService(self.database, self.issuance.profiles, self.audit, clock)
        self.ceremonies = CeremonyService(
            database=self.database,
            registry=self.registry,
            key_store=self.key_store,
            issuer=AuthorityIssuer(self.issuance),
            audit=self.audit,
            clock=clock,
        )
        self.status_log = StatusLog()
        self.status = StatusService(self.status_log)
        self.crls = CrlService(
            self.database,
            self.registry,
            self.key_store,
            self.status_log,
            self.audit,
            clock,
            publication_url=settings.pki_base_url,
            shards=self.shards,
            second_place=self.second_place,
        )
        self.crl_archive = CrlArchive(self.database, self.registry)
        self.responders = Responders(self.database, self.registry, self.key_store, self.status, clock)
        self.ocsp = OcspResponder(
            self.database, self.registry, self.certificates, self.status, self.status_log, self.responders, clock
        )
        self.published_log = PublishedLog(self.database)
        self.witnesses = Witnesses(self.database, self.audit, clock)
        self.timestamp_records = TimestampRecords(self.database, self.audit, clock)
        self.timestamp_units = None
        if settings.timestamp_authority is not None:
            self.timestamp_units = self.units_of(settings.timestamp_authority)

        self.issuer: IssuanceService | RemoteIssuance = self.issuance
        self.lists: CrlService | RemoteLists = self.crls
        self.signer_client = _signer_client(settings)
        if self.signer_client is not None:
            self.issuer, self.lists = RemoteIssuance(self.signer_client), RemoteLists(self.signer_client)

    def ensure_responders(self) -> list[str]:
        """As `Responders.ensure`, with the keys of this role's own key store and whoever signs for it."""
        return self.responders.ensure(ProvingIssuer(self.issuer, self.key_store), self.rng)

    def units_of(self, slug: str) -> TimestampUnits:
        """The time-stamping units that an authority certifies."""
        return TimestampUnits(self.database, self.registry, self.key_store, self.status, self.clock, authority=slug)

    def ensure_timestamp_unit(self, units: TimestampUnits) -> bool:
        """As `TimestampUnits.ensure`, with the keys of this role's own key store and whoever signs for it."""
        return units.ensure(ProvingIssuer(self.issuer, self.key_store), self.rng)

    def timestamp_authority(self, units: TimestampUnits) -> TimestampAuthority:
        """What answers requests for time stamps by this process's clock."""
        clock = self.clock
        return TimestampAuthority(units, self.timestamp_records, SteadyClock(clock), clock, self.rng)

    def close(self) -> None:
        """Ends its connections."""
        if self.signer_client is not None:
            self.signer_client.close()
        self.database.dispose()

    def registration(self) -> RegistrationService:
        """The register of persons. Raises: ConfigurationError, without the keys over national IDs."""
        national_id = self.settings.national_id
        if national_id is None:
            raise ConfigurationError("national_id: is missing")
        keys = NationalIdKeys(
            {key_id: read_secret(path) for key_id, path in national_id.keys.items()},
            national_id.current,
            read_secret(national_id.lookup_key_file),
        )
        return RegistrationService(self.database, PersonStore(), keys, self.audit, self.clock, self.rng)

    def cards(self) -> CardService:
        """The card centre. Raises: ConfigurationError, without its master key and authority."""
        settings = self.settings
        if settings.card_master_key_file is None or settings.card_authority is None:
            raise ConfigurationError("card_master_key_file, card_authority: are missing")
        return CardService(
            database=self.database,
            cards=CardStore(),
            persons=self.registration(),
            certification=CardCertification(
                database=self.database,
                issuance=self.issuer,
                revocation=self.revocation,
                certificates=self.certificates,
                intents=IntentStore(),
                authority=settings.card_authority,
            ),
            management_keys=ManagementKeys(read_secret(settings.card_master_key_file)),
            audit=self.audit,
            clock=self.clock,
            rng=self.rng,
        )

    def login_validator(self) -> CertificateValidator:
        """What judges the certificates that citizens present, by configured authorities under configured roots.

        Raises: ConfigurationError, where an authority does not exist, a root cannot be read, or none is configured.
        """
        return CertificateValidator(
            self.database,
            _AcceptedAuthorities(self.registry, self.settings.login_authorities),
            self.certificates,
            self.status,
            self.clock,
            roots=[certificate for path in self.settings.trusted_root_files for certificate in _read_roots(path)],
        )


class _AcceptedAuthorities:
    """The registry, narrowed to the authorities that the settings name and the roots above them."""

    def __init__(self, registry: AuthorityRegistry, slugs: tuple[str, ...]) -> None:
        known = {authority.slug for authority in registry.all() if authority.role is AuthorityRole.ISSUING}
        missing = sorted(set(slugs) - known)
        if missing or not slugs:
            raise ConfigurationError(
                f"login_authorities: no such issuing authority: {', '.join(missing) or 'none given'}"
            )
        self._registry = registry
        self._slugs = frozenset(slugs)

    def all(self) -> tuple[Authority, ...]:
        accepted = [authority for authority in self._registry.all() if authority.slug in self._slugs]
        parents = {authority.parent_id for authority in accepted}
        return (*(authority for authority in self._registry.all() if authority.id in parents), *accepted)


def _signer_client(settings: Settings) -> SignerClient | None:
    connection = settings.ca_connection
    if connection is None or settings.role in (Role.ALL, Role.CA):
        return None
    read_secret(connection.key_file, min_octets=1)  # refused where others may read it
    files = TlsFiles(
        certificate=connection.certificate_file, key=connection.key_file, trusted=connection.trusted_root_file
    )
    return SignerClient(connection.url, files)


def _read_roots(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"trusted_root_files: {path}: {error}") from error
