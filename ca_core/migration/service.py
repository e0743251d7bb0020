"""Moving in, one call for each kind of file."""

from collections.abc import Callable
from pathlib import Path

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.authorities.model import Authority
from ca_core.authorities.registry import AuthorityRegistry
from ca_core.issuance.past import PastCertificates
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.second_place import WITHOUT_SECOND_PLACE, SecondPlace
from ca_core.migration.authorities import AuthorityImport
from ca_core.migration.certificates import CertificateImporter
from ca_core.migration.crls import CrlImporter, CrlItem, CrlSource
from ca_core.migration.errors import SourceRefused
from ca_core.migration.holders import HolderImporter, HolderItem, HolderSource
from ca_core.migration.journal import BATCH, ImportJournal, Told, nobody_told
from ca_core.migration.model import ImportReport, Item, Kind
from ca_core.migration.sources import open_certificates
from ca_core.registration.imported import HolderRegister
from ca_core.revocation.past import PastChanges
from ca_core.status.second_place import number_record, raise_number

_NO_AUTHORITY = 0


class MigrationService:
    """Imports files into this deployment. holders: None where the keys over national IDs are not here.

    Holders go first, then certificates, then lists. Every call may be killed and repeated.
    """

    def __init__(
        self,
        database: Database,
        registry: AuthorityRegistry,
        audit: AuditLog,
        clock: Clock,
        *,
        holders: HolderRegister | None,
        second_place: SecondPlace = WITHOUT_SECOND_PLACE,
        batch: int = BATCH,
        checkpoint: Callable[[str], None] | None = None,
    ) -> None:
        self._database = database
        self._audit = audit
        self._second_place = second_place
        self._registry = registry
        self._clock = clock
        self._holders = holders
        self._certificates = PastCertificates(second_place)
        self._changes = PastChanges(second_place)
        self._of_items = ImportJournal[Item](database, audit, clock, batch=batch, checkpoint=checkpoint)
        self._of_entries = ImportJournal[CrlItem](database, audit, clock, batch=batch, checkpoint=checkpoint)
        self._of_holders = ImportJournal[HolderItem](database, audit, clock, batch=batch, checkpoint=checkpoint)
        self.authorities = AuthorityImport(database, registry, self._certificates, audit, clock)

    def import_holders(self, path: Path, *, actor: str, told: Told = nobody_told) -> ImportReport:
        """Raises: SourceRefused, ImportRunning."""
        if self._holders is None:
            raise SourceRefused("the keys over national IDs are not configured")
        source = HolderSource(path)
        return self._of_holders.run(
            HolderImporter(self._holders, self._clock),
            source.items,
            kind=Kind.HOLDERS,
            authority_id=_NO_AUTHORITY,
            digest=source.digest(),
            name=source.name,
            total=source.total,
            actor=actor,
            told=told,
        )

    def import_certificates(
        self, path: Path, authority: str, *, actor: str, without_holders: bool = False, told: Told = nobody_told
    ) -> ImportReport:
        """authority: slug. Raises: AuthorityNotFound, SourceRefused, ImportRunning."""
        issuer = self._registry.by_slug(authority)
        source = open_certificates(path)
        importer = CertificateImporter(
            issuer, self._certificates, self._holders, self._clock, actor=actor, without_holders=without_holders
        )
        return self._of_items.run(
            importer,
            source.items,
            kind=Kind.CERTIFICATES,
            authority_id=issuer.id,
            digest=source.digest(),
            name=source.name,
            total=source.total,
            actor=actor,
            told=told,
        )

    def import_crl(self, path: Path, authority: str, *, actor: str, told: Told = nobody_told) -> ImportReport:
        """authority: slug. Of several complete lists, the newest alone. Lists that are made here have higher numbers.

        Raises: AuthorityNotFound, SourceRefused, CrlRefused, ImportRunning; SecondPlaceUnavailable.
        """
        issuer = self._registry.by_slug(authority)
        source = CrlSource(path, issuer)
        self._number_past(issuer, source.number, actor)
        return self._of_entries.run(
            CrlImporter(issuer, self._certificates, self._changes, self._clock, actor=actor, made_at=source.made_at),
            source.items,
            kind=Kind.CRL,
            authority_id=issuer.id,
            digest=source.digest(),
            name=source.name,
            total=source.total,
            actor=actor,
            told=told,
        )

    def _number_past(self, issuer: Authority, number: int, actor: str) -> None:
        """Before any entry is here, so that no list is made in between."""
        with self._database.write() as tx:
            if raise_number(tx, issuer.id, number, self._clock()):
                detail: dict[str, str | int | bool] = {"number": number}
                event = AuditEvent(
                    name="migration.crl_number",
                    actor=actor,
                    outcome=Outcome.OK,
                    subject=f"authority:{issuer.id}",
                    detail=detail,
                )
                self._audit.append(tx, event)
                self._second_place.append([number_record(issuer.id, number)])
