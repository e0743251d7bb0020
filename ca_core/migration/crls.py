"""A revocation list of an imported authority becomes status changes with their own dates and reasons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from ca_core.authorities.model import Authority
from ca_core.issuance.past import PastCertificates
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Transaction
from ca_core.migration.errors import CrlRefused, SourceRefused
from ca_core.migration.model import Cursor, Outcome, Reason, Verdict, masked
from ca_core.revocation.errors import RevocationError
from ca_core.revocation.log import StatusLog
from ca_core.revocation.model import FIRST_DATE, Change, RevocationReason, StatusChange
from ca_core.revocation.past import PastChange, PastChanges, follower

MAX_CRL_BYTES = 256 * 1024 * 1024
_MAX_NUMBER = 1 << 62
_SKEW = timedelta(minutes=5)
_READ = (
    x509.AuthorityKeyIdentifier.oid,
    x509.CRLNumber.oid,
    x509.DeltaCRLIndicator.oid,
    x509.IssuingDistributionPoint.oid,
)
_CHANGES = {
    RevocationReason.CERTIFICATE_HOLD: Change.SUSPEND,
    RevocationReason.REMOVE_FROM_CRL: Change.RESUME,
}


@dataclass(frozen=True, slots=True)
class CrlItem:
    """One entry, read but not judged; entry is None where it could not be read."""

    place: str
    after: Cursor
    entry: "CrlEntry | None"


@dataclass(frozen=True, slots=True)
class CrlEntry:
    """What an entry says."""

    serial: int
    at: datetime
    reason: RevocationReason
    invalidity_date: datetime | None


class CrlSource:
    """A list whose signature is the authority's, told by its key. About its own size in memory."""

    def __init__(self, path: Path, authority: Authority) -> None:
        """Raises: SourceRefused, CrlRefused."""
        self.name = masked(path.name)
        try:
            if path.stat().st_size > MAX_CRL_BYTES:
                raise SourceRefused(f"{self.name}: larger than {MAX_CRL_BYTES} octets")
            octets = path.read_bytes()
        except OSError as error:
            raise SourceRefused(f"{self.name}: {error.strerror}") from error
        self._digest = sha256(octets).hexdigest()
        try:
            is_pem = octets.lstrip()[:10] == b"-----BEGIN"
            self._crl = x509.load_pem_x509_crl(octets) if is_pem else x509.load_der_x509_crl(octets)
            self.total = len(self._crl)
            _verify_crl(self._crl, authority)
        except (
            ValueError,
            TypeError,
            UnsupportedAlgorithm,
            x509.DuplicateExtension,
            x509.InvalidVersion,
            x509.UnsupportedGeneralNameType,
        ) as error:
            raise CrlRefused(f"{self.name}: {type(error).__name__}") from error

    @property
    def number(self) -> int:
        """The list's CRLNumber, 0 where it has none."""
        try:
            return self._crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except x509.ExtensionNotFound:
            return 0

    @property
    def made_at(self) -> datetime:
        """The list's thisUpdate."""
        return self._crl.last_update_utc

    def digest(self) -> str:
        return self._digest

    def items(self, start: Cursor) -> Iterator[CrlItem]:
        """Entries in the list's order, from the one with that index on."""
        entries = islice(iter(self._crl), start.offset, None)
        index = start.offset
        while True:
            index += 1
            place, after = f"entry {index}", Cursor(offset=index, line=0)
            try:
                revoked = next(entries)
            except StopIteration:
                return
            try:
                yield CrlItem(place, after, _entry(revoked))
            except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
                yield CrlItem(place, after, None)


class CrlImporter:
    """Certificates that are here become revoked or suspended, and with them what was derived from them here; entries of
    others are refused and reported. A compromised key is blocked.

    made_at: the list's thisUpdate.
    """

    def __init__(
        self,
        authority: Authority,
        certificates: PastCertificates,
        changes: PastChanges,
        clock: Clock,
        *,
        actor: str,
        made_at: datetime,
    ) -> None:
        self._authority = authority
        self._certificates = certificates
        self._changes = changes
        self._clock = clock
        self._actor = actor
        self._made_at = made_at
        self._log = StatusLog()

    def prepare(self, item: CrlItem) -> object:
        if item.entry is None:
            return Reason.ENTRY_MALFORMED
        if item.entry.at > self._clock() + _SKEW:
            return Reason.DATE_IN_FUTURE
        return item.entry

    def write(self, tx: Transaction, prepared: Sequence[object]) -> list[Outcome]:
        """A change where the entry says something new of a certificate; `known` where the log has it.

        Where it says something else than what stands here, or would undo what was decided after the list was made,
        nothing is changed, and it is reported.
        """
        outcomes: list[Outcome | None] = []
        wanted: list[PastChange] = []
        compromised: dict[int, bytes] = {}
        for entry in prepared:
            if not isinstance(entry, CrlEntry):
                raise TypeError("not prepared here")
            known = self._certificates.find(tx, self._authority.id, entry.serial)
            if known is None:
                outcomes.append(Reason.CERTIFICATE_UNKNOWN)
                continue
            change = PastChange(
                certificate_id=known.certificate_id,
                authority_id=self._authority.id,
                serial=entry.serial,
                change=_CHANGES.get(entry.reason, Change.REVOKE),
                reason=entry.reason,
                at=entry.at,
                invalidity_date=entry.invalidity_date,
                not_after=known.not_after,
                crl_shard=known.crl_shard,
                actor=self._actor,
            )
            settled = self._settled(tx, change)
            outcomes.append(settled)
            if settled is None:
                wanted.append(change)
            if change.reason is RevocationReason.KEY_COMPROMISE:
                compromised[len(outcomes) - 1] = known.der
        added = self._changes.add(tx, wanted, lambda change: self._followers(tx, change))
        written = iter([self._outcome(tx, *pair) for pair in zip(wanted, added, strict=True)])
        told = [next(written) if outcome is None else outcome for outcome in outcomes]
        self._certificates.block_keys_of(
            tx,
            [der for index, der in compromised.items() if isinstance(told[index], Verdict)],
            reason=RevocationReason.KEY_COMPROMISE.value,
            actor=self._actor,
            now=self._clock(),
        )
        return told

    def _followers(self, tx: Transaction, change: PastChange) -> list[PastChange]:
        derived = self._certificates.derived_from(tx, change.certificate_id)
        return [follower(change, one) for one in derived]

    def _settled(self, tx: Transaction, change: PastChange) -> Outcome | None:
        """Of a suspension or resumption, what may follow every other, why it is not written now."""
        if change.change is Change.REVOKE:
            return None
        history = self._log.history(tx, change.certificate_id)
        if any(_is_same(one, change) for one in history):
            return Verdict.KNOWN
        return Reason.STATUS_NEWER if history and history[-1].at > self._made_at else None

    def _outcome(self, tx: Transaction, change: PastChange, written: StatusChange | RevocationError) -> Outcome:
        if isinstance(written, StatusChange):
            return Verdict.ACCEPTED
        history = self._log.history(tx, change.certificate_id)
        if any(_is_same(one, change) for one in history):
            return Verdict.KNOWN
        return Reason.STATUS_DIFFERS if history else Verdict.KNOWN  # a release of what was never suspended here


def _is_same(one: StatusChange, other: PastChange) -> bool:
    """Whether both say the same on a list, whose dates are of whole seconds."""
    return (one.change, one.reason, _second(one.at), _second(one.invalidity_date)) == (
        other.change,
        other.reason,
        _second(other.at),
        _second(other.invalidity_date),
    )


def _second(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(microsecond=0)


def _verify_crl(crl: x509.CertificateRevocationList, authority: Authority) -> None:
    """1. Only extensions that are understood, where critical. 2. Not an indirect list. 3. A number that ours can
    follow. 4. The authority's key, by its identifier where the list has one, and in any case by the signature.

    Raises: CrlRefused, ValueError.
    """
    for extension in crl.extensions:
        value = extension.value
        if extension.critical and extension.oid not in _READ:
            raise CrlRefused("a critical extension that is not understood")
        if isinstance(value, x509.IssuingDistributionPoint) and (value.indirect_crl or value.only_some_reasons):
            raise CrlRefused("an indirect list, or one of some reasons alone")
        if isinstance(value, x509.AuthorityKeyIdentifier) and value.key_identifier not in (
            None,
            authority.key_identifier,
        ):
            raise CrlRefused("another authority's key identifier")
        if isinstance(value, x509.CRLNumber) and value.crl_number > _MAX_NUMBER:
            raise CrlRefused("a list number so large that none here could follow it")
    if not crl.is_signature_valid(authority.public_key):
        raise CrlRefused("the signature is not this authority's")


def _entry(revoked: x509.RevokedCertificate) -> CrlEntry:
    reason, invalidity_date = RevocationReason.UNSPECIFIED, None
    for extension in revoked.extensions:
        value = extension.value
        if isinstance(value, x509.CRLReason):
            reason = RevocationReason(value.reason.value)
        elif isinstance(value, x509.InvalidityDate):
            invalidity_date = value.invalidity_date_utc
        elif extension.critical:
            raise ValueError("a critical extension that is not understood")
    serial = revoked.serial_number
    if not 0 < serial < 1 << 160:
        raise ValueError("serial")
    at = revoked.revocation_date_utc.astimezone(UTC)
    if at < FIRST_DATE:
        raise ValueError("a date that no list of this house could bear")
    return CrlEntry(serial, at, reason, invalidity_date)
