"""The certification authority's services, from settings."""

from pathlib import Path

from cryptography import x509

from ca_core.audit import AuditLog
from ca_core.audit.sequencer import AuditSequencer
from ca_core.authorities.ceremony import CeremonyService
from ca_core.authorities.model import Authority, AuthorityRole
from ca_core.authorities.registry import AuthorityRegistry
from ca_core.cards.certification import CardCertification
from ca_core.cards.management_key import ManagementKeys
from ca_core.cards.service import CardService
from ca_core.cards.store import CardStore
from ca_core.issuance.authority_issuer import AuthorityIssuer
from ca_core.issuance.service import IssuanceService
from ca_core.issuance.store import CertificateStore, IntentStore
from ca_core.kernel.clock import Clock, system_clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.rng import Rng, system_rng
from ca_core.kernel.settings import Pkcs11Keys, Settings, SoftwareKeys, read_passphrase, read_secret
from ca_core.keys import KeyStore, SoftwareKeyStore
from ca_core.profiles.loader import load_profiles
from ca_core.registration.sealing import NationalIdKeys
from ca_core.registration.service import RegistrationService
from ca_core.registration.store import PersonStore
from ca_core.revocation.log import StatusLog
from ca_core.revocation.service import RevocationService
from ca_core.status.crl import CrlArchive, CrlService
from ca_core.status.ocsp import OcspResponder
from ca_core.status.responders import Responders
from ca_core.status.service import StatusService
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


class CertificationAuthority:
    """Every service of ca_core, over one database. Opens nothing before it is used."""

    def __init__(self, settings: Settings, *, clock: Clock = system_clock, rng: Rng = system_rng) -> None:
        if settings.keys is None or settings.pki_base_url is None:
            raise ConfigurationError("keys, pki_base_url: are missing")
        self.settings = settings
        self.clock = clock
        self.rng = rng
        self.database = Database.open(settings.database_dsn(), pool_size=settings.database_pool_size)
        self.key_store = open_key_store(settings.keys)
        self.audit = AuditLog(clock, rng)
        self.sequencer = AuditSequencer(self.database, clock)
        self.registry = AuthorityRegistry(self.database, clock)
        self.certificates = CertificateStore()
        self.issuance = IssuanceService(
            database=self.database,
            registry=self.registry,
            key_store=self.key_store,
            profiles=load_profiles(),
            audit=self.audit,
            publication_url=settings.pki_base_url,
            clock=clock,
            rng=rng,
        )
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
        self.revocation = RevocationService(self.database, self.certificates, self.audit, clock)
        self.crls = CrlService(self.database, self.registry, self.key_store, self.status_log, self.audit, clock)
        self.crl_archive = CrlArchive(self.database, self.registry)
        self.responders = Responders(self.database, self.registry, self.key_store, self.status, clock)
        self.ocsp = OcspResponder(
            self.database, self.registry, self.certificates, self.status, self.status_log, self.responders, clock
        )

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
                issuance=self.issuance,
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


def _read_roots(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"trusted_root_files: {path}: {error}") from error
