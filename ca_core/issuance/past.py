"""Certificates that were issued elsewhere or before: imported ones, and what a replayed journal holds.

Nothing here signs. The intent that stands beside such a certificate keeps its serial and request id from being used
again; it is complete, so nobody carries it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from sqlalchemy import bindparam, func, insert, select, text

from ca_core.crl_shards.model import shard_named_by
from ca_core.issuance import store
from ca_core.issuance.model import Intent, IssuedCertificate, LintMode, serial_text
from ca_core.issuance.second_place import (
    BlockedKey,
    JournaledCertificate,
    JournaledIntent,
    certificate_record,
    intent_record,
)
from ca_core.issuance.store import CertificateStore, IntentStore, KeyRegister, intent_values
from ca_core.kernel.database import Statement, Transaction, UtcTime
from ca_core.kernel.second_place import WITHOUT_SECOND_PLACE, Record, SecondPlace
from ca_core.keys.model import PublicKey, key_digest

_certificates, _intents = store.certificates, store.intents
_ADD_CERTIFICATE = Statement(
    insert(_certificates).values(
        {column.name: bindparam(column.name) for column in _certificates.c if column.name != "id"}
    )
)
_ADD_CERTIFICATE_AS = Statement(
    insert(_certificates).values({column.name: bindparam(column.name) for column in _certificates.c})
)
_ADD_INTENT = Statement(insert(_intents).values({column.name: bindparam(column.name) for column in _intents.c}))
_FIND = Statement(
    select(_certificates.c.id, _certificates.c.der, _certificates.c.not_after, _certificates.c.crl_shard).where(
        _certificates.c.authority_id == bindparam("authority_id"), _certificates.c.serial == bindparam("serial")
    )
)
_ORIGIN = Statement(
    select(_certificates.c.derived_from).where(
        _certificates.c.authority_id == bindparam("authority_id"), _certificates.c.serial == bindparam("serial")
    )
)
_ID_TAKEN = Statement(select(_certificates.c.id).where(_certificates.c.id == bindparam("id")))
_SERIAL_TAKEN = Statement(
    select(_intents.c.request_id).where(
        _intents.c.authority_id == bindparam("authority_id"), _intents.c.serial == bindparam("serial")
    )
)
_COUNT = Statement(select(func.count()).select_from(_certificates))
_ADD_KEY = Statement(
    text(
        "INSERT INTO certified_keys (key_digest, profile, holder, certified_at)"
        " VALUES (:key_digest, :profile, :holder, :certified_at) ON CONFLICT (key_digest) DO NOTHING"
    ).bindparams(bindparam("certified_at", type_=UtcTime))
)
_NEXT_ID = Statement(
    text(
        "SELECT setval(pg_get_serial_sequence('certificates', 'id'),"
        " (SELECT coalesce(max(id), 0) + 1 FROM certificates), false)"
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignCertificate:
    """A certificate of another house's making, every rule about it being checked. holder: of its key, a digest."""

    authority_id: int
    certificate: x509.Certificate
    der: bytes
    public_key: PublicKey
    profile: str
    person_id: str | None
    card_number: str | None
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCertificate:
    """What is needed to change the status of one."""

    certificate_id: int
    der: bytes
    not_after: datetime
    crl_shard: int | None


class PastCertificates:
    """Writes them in batches. Every method runs in the caller's transaction."""

    def __init__(self, second_place: SecondPlace = WITHOUT_SECOND_PLACE) -> None:
        self._second_place = second_place
        self._intent_store = IntentStore()

    def find(self, tx: Transaction, authority_id: int, serial: int) -> KnownCertificate | None:
        """The certificate of that authority with that serial, unparsed."""
        row = tx.one_or_none(_FIND, authority_id=authority_id, serial=serial_text(serial))
        if row is None:
            return None
        return KnownCertificate(certificate_id=row[0], der=bytes(row[1]), not_after=row[2], crl_shard=row[3])

    def derived_from(self, tx: Transaction, certificate_id: int) -> list[IssuedCertificate]:
        """Those that were derived from one."""
        return CertificateStore().derived_from(tx, certificate_id)

    def origin_id(self, tx: Transaction, authority_id: int, serial: int) -> int | None:
        """The certificate_id of the one that this one is derived from, where there is one."""
        row = tx.one_or_none(_ORIGIN, authority_id=authority_id, serial=serial_text(serial))
        return None if row is None else row[0]

    def block_keys_of(
        self, tx: Transaction, certificates: Sequence[bytes], *, reason: str, actor: str, now: datetime
    ) -> int:
        """Never certify the keys of those certificates in DER (again). How many were not blocked before.

        Raises: SecondPlaceUnavailable.
        """
        found = [
            CertificateStore().block_key_of(
                tx, x509.load_der_x509_certificate(der), reason=reason, actor=actor, now=now
            )
            for der in certificates
        ]
        records = [record for record in found if record is not None]
        self._second_place.append(records)
        return len(records)

    def is_serial_taken(self, tx: Transaction, authority_id: int, serial: int) -> bool:
        """Whether a certificate or an intent has it."""
        return tx.one_or_none(_SERIAL_TAKEN, authority_id=authority_id, serial=serial_text(serial)) is not None

    def add_all(self, tx: Transaction, found: Sequence[ForeignCertificate], *, actor: str, now: datetime) -> None:
        """Records certificates of serials that are free, each with its completed intent and its key's use.

        Raises: Conflict; SecondPlaceUnavailable.
        """
        if not found:
            return
        intents = [_import_intent(one, actor, now) for one in found]
        rows = [_certificate_row(one, intent.request_id, now) for one, intent in zip(found, intents, strict=True)]
        tx.execute_many(_ADD_INTENT, [intent_values(intent) for intent in intents])
        tx.execute_many(_ADD_CERTIFICATE, rows)
        tx.execute_many(
            _ADD_KEY,
            [
                {
                    "key_digest": key_digest(one.public_key),
                    "profile": one.profile,
                    "holder": one.holder,
                    "certified_at": now,
                }
                for one in found
            ],
        )
        records: list[Record] = []
        for one, intent in zip(found, intents, strict=True):
            known = self.find(tx, one.authority_id, intent.serial)
            if known is None:
                raise TypeError("a certificate that was just written is not there")
            records.append(intent_record(intent, key_digest=key_digest(one.public_key), holder=one.holder))
            records.append(certificate_record(intent, certificate_id=known.certificate_id, der=one.der, issued_at=now))
        self._second_place.append(records)

    def restore_intent(self, tx: Transaction, journaled: JournaledIntent) -> bool:
        """Writes an intent of the journal that is not here, and claims its key; False where it is here."""
        intent = replace(journaled.intent, derived_from=self._origin_id(tx, journaled))
        if self.is_serial_taken(tx, intent.authority_id, intent.serial):
            return False
        if self._intent_store.find(tx, intent.request_id) is not None:
            return False
        tx.execute(_ADD_INTENT, **intent_values(intent))
        tx.execute_many(
            _ADD_KEY,
            [
                {
                    "key_digest": journaled.key_digest,
                    "profile": intent.profile,
                    "holder": journaled.holder,
                    "certified_at": intent.created_at,
                }
            ],
        )
        return True

    def restore_blocked_key(self, tx: Transaction, key: BlockedKey) -> bool:
        """Blocks a key of the journal; False where it is blocked."""
        return KeyRegister().block(tx, key.key_digest, reason=key.reason, actor=key.actor, now=key.at)

    def _origin_id(self, tx: Transaction, journaled: JournaledIntent) -> int | None:
        """Raises: ValueError, where the certificate that it is derived from is not here: it was there when the intent
        was recorded, and what befalls it would not reach what is derived from it."""
        if journaled.origin is None:
            return None
        known = self.find(tx, *journaled.origin)
        if known is None:
            raise ValueError("the certificate that another is derived from is not here")
        return known.certificate_id

    def burn(self, tx: Transaction, intent: Intent, now: datetime) -> bool:
        """Keeps a serial from ever being used again; False where it is taken already."""
        if self.is_serial_taken(tx, intent.authority_id, intent.serial):
            return False
        row = intent_values(intent) | {
            "request_id": f"burnt:{intent.authority_id}:{intent.serial:x}",
            "completed_at": now,
        }
        tx.execute(_ADD_INTENT, **row)
        return True

    def restore_certificate(self, tx: Transaction, journaled: JournaledCertificate) -> bool:
        """Records a certificate of the journal under its own id where that is free; False where it is here, or where
        no intent of that serial is."""
        if self.find(tx, journaled.authority_id, journaled.serial) is not None:
            return False
        intent = self._intent_store.find(tx, journaled.request_id)
        if intent is None or (intent.authority_id, intent.serial) != (journaled.authority_id, journaled.serial):
            return False
        certificate = x509.load_der_x509_certificate(journaled.der)
        row = _stored_row(intent, certificate, journaled.der, journaled.issued_at)
        if tx.one_or_none(_ID_TAKEN, id=journaled.certificate_id) is None:
            tx.execute(_ADD_CERTIFICATE_AS, id=journaled.certificate_id, **row)
        else:
            tx.execute(_ADD_CERTIFICATE, **row)
        if intent.completed_at is None:
            self._intent_store.complete(tx, intent.request_id, journaled.issued_at)
        return True

    def settle_ids(self, tx: Transaction) -> None:
        """The next certificate gets an id above all that were written with their own."""
        if tx.dialect_name == "postgresql":
            tx.execute(_NEXT_ID)

    def count(self, tx: Transaction) -> int:
        row = tx.one_or_none(_COUNT)
        return 0 if row is None else int(row[0])


def _import_intent(one: ForeignCertificate, actor: str, now: datetime) -> Intent:
    """Its octets are left out: they are in the certificate, and nobody will sign them."""
    serial = one.certificate.serial_number
    return Intent(
        request_id=f"import:{one.authority_id}:{serial:x}",
        request_digest=sha256(one.der).hexdigest(),
        authority_id=one.authority_id,
        serial=serial,
        profile=one.profile,
        tbs=b"",
        person_id=one.person_id,
        card_number=one.card_number,
        actor=actor,
        created_at=now,
        lint=LintMode.EVERY,
        completed_at=now,
    )


def _certificate_row(one: ForeignCertificate, request_id: str, now: datetime) -> dict[str, object]:
    return {
        "request_id": request_id,
        "authority_id": one.authority_id,
        "serial": serial_text(one.certificate.serial_number),
        "profile": one.profile,
        "der": one.der,
        "person_id": one.person_id,
        "card_number": one.card_number,
        "crl_shard": None,
        "not_before": one.certificate.not_valid_before_utc,
        "not_after": one.certificate.not_valid_after_utc,
        "issued_at": now,
        "lint": None,
        "linted_at": None,
        "lint_findings": None,
        "derived_from": None,
    }


def _stored_row(intent: Intent, certificate: x509.Certificate, der: bytes, issued_at: datetime) -> dict[str, object]:
    is_foreign = not intent.tbs
    return {
        "request_id": intent.request_id,
        "authority_id": intent.authority_id,
        "serial": serial_text(intent.serial),
        "profile": intent.profile,
        "der": der,
        "person_id": intent.person_id,
        "card_number": intent.card_number,
        "crl_shard": None if is_foreign else shard_named_by(certificate),
        "not_before": certificate.not_valid_before_utc,
        "not_after": certificate.not_valid_after_utc,
        "issued_at": issued_at,
        "lint": None if is_foreign else intent.lint.value,
        "linted_at": intent.created_at if not is_foreign and intent.lint is LintMode.EVERY else None,
        "lint_findings": None,
        "derived_from": intent.derived_from,
    }
