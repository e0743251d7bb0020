"""Tables of intents, certificates and keys."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from asn1crypto.x509 import Certificate as Asn1Certificate
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)

from ca_core.crl_shards.model import shard_named_by
from ca_core.issuance.model import Intent, IssuedCertificate, LintMode, LintState, serial_text
from ca_core.issuance.second_place import blocked_key_record
from ca_core.kernel.database import BigId, Row, Statement, Transaction, UtcTime
from ca_core.kernel.second_place import Record
from ca_core.keys.model import PublicKey, key_digest
from ca_core.schema import metadata

intents = Table(
    "issuance_intents",
    metadata,
    Column("request_id", String(64), primary_key=True),
    Column("request_digest", String(64), nullable=False),
    Column("authority_id", BigId, ForeignKey("ca_authorities.id"), nullable=False),
    Column("serial", String(40), nullable=False),
    Column("profile", String(64), nullable=False),
    Column("tbs", LargeBinary, nullable=False),
    Column("person_id", String(64)),
    Column("card_number", String(32)),
    Column("actor", String(128), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("lint", String(16), nullable=False),
    Column("completed_at", UtcTime),
    Column("derived_from", BigId),  # a certificate's id; certificates refer to intents, so not the other way round
    UniqueConstraint("authority_id", "serial"),
)
Index(
    "ix_issuance_intents_open",
    intents.c.created_at,
    sqlite_where=intents.c.completed_at.is_(None),
    postgresql_where=intents.c.completed_at.is_(None),
)

certificates = Table(
    "certificates",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("request_id", String(64), ForeignKey("issuance_intents.request_id"), nullable=False, unique=True),
    Column("authority_id", BigId, ForeignKey("ca_authorities.id"), nullable=False),
    Column("serial", String(40), nullable=False),
    Column("profile", String(64), nullable=False),
    Column("der", LargeBinary, nullable=False),
    Column("person_id", String(64), index=True),
    Column("card_number", String(32), index=True),
    Column("crl_shard", Integer),
    Column("not_before", UtcTime, nullable=False),
    Column("not_after", UtcTime, nullable=False),
    Column("issued_at", UtcTime, nullable=False),
    Column("lint", String(16)),  # how it was linted before it was signed; none for what was issued elsewhere
    Column("linted_at", UtcTime),
    Column("lint_findings", Text),
    Column("derived_from", BigId, ForeignKey("certificates.id")),
    UniqueConstraint("authority_id", "serial"),
)
Index(
    "ix_certificates_lint_backlog",
    certificates.c.id,
    sqlite_where=(certificates.c.lint == "template") & certificates.c.linted_at.is_(None),
    postgresql_where=(certificates.c.lint == "template") & certificates.c.linted_at.is_(None),
)

Index(
    "ix_certificates_derived_from",
    certificates.c.derived_from,
    sqlite_where=certificates.c.derived_from.is_not(None),
    postgresql_where=certificates.c.derived_from.is_not(None),
)

certified_keys = Table(
    "certified_keys",
    metadata,
    Column("key_digest", String(64), primary_key=True),
    Column("profile", String(64), nullable=False),
    Column("holder", String(64), nullable=False),
    Column("certified_at", UtcTime, nullable=False),
)

blocked_keys = Table(
    "blocked_keys",
    metadata,
    Column("key_digest", String(64), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("blocked_at", UtcTime, nullable=False),
)

_INTENT = (
    intents.c.request_id,
    intents.c.request_digest,
    intents.c.authority_id,
    intents.c.serial,
    intents.c.profile,
    intents.c.tbs,
    intents.c.person_id,
    intents.c.card_number,
    intents.c.actor,
    intents.c.created_at,
    intents.c.lint,
    intents.c.completed_at,
    intents.c.derived_from,
)
_ADD_INTENT = Statement(insert(intents).values({column.name: bindparam(column.name) for column in _INTENT}))
_FIND_INTENT = Statement(select(*_INTENT).where(intents.c.request_id == bindparam("request_id")))
_OPEN_INTENTS = Statement(
    select(*_INTENT)
    .where(intents.c.completed_at.is_(None), intents.c.request_id > bindparam("after"))
    .order_by(intents.c.request_id)
    .limit(bindparam("limit"))
)
_COMPLETE_INTENT = Statement(
    update(intents)
    .where(intents.c.request_id == bindparam("wanted_request_id"), intents.c.completed_at.is_(None))
    .values(completed_at=bindparam("completed_at"))
)

_CERTIFICATE = (
    certificates.c.id,
    certificates.c.authority_id,
    certificates.c.serial,
    certificates.c.der,
    certificates.c.profile,
    certificates.c.person_id,
    certificates.c.card_number,
    certificates.c.crl_shard,
    certificates.c.lint,
    certificates.c.derived_from,
)
_ADD_CERTIFICATE = Statement(
    insert(certificates)
    .values(
        request_id=bindparam("request_id"),
        authority_id=bindparam("authority_id"),
        serial=bindparam("serial"),
        profile=bindparam("profile"),
        der=bindparam("der"),
        person_id=bindparam("person_id"),
        card_number=bindparam("card_number"),
        crl_shard=bindparam("crl_shard"),
        not_before=bindparam("not_before"),
        not_after=bindparam("not_after"),
        issued_at=bindparam("issued_at"),
        lint=bindparam("lint"),
        linted_at=bindparam("linted_at"),
        derived_from=bindparam("derived_from"),
    )
    .returning(certificates.c.id)
)
_FIND = Statement(
    select(*_CERTIFICATE).where(
        certificates.c.authority_id == bindparam("authority_id"), certificates.c.serial == bindparam("serial")
    )
)
_BY_ID = Statement(select(*_CERTIFICATE).where(certificates.c.id == bindparam("id")))
_BY_REQUEST = Statement(select(*_CERTIFICATE).where(certificates.c.request_id == bindparam("request_id")))
_BY_CARD = Statement(
    select(*_CERTIFICATE).where(certificates.c.card_number == bindparam("card_number")).order_by(certificates.c.id)
)
_BY_PERSON = Statement(
    select(*_CERTIFICATE).where(certificates.c.person_id == bindparam("person_id")).order_by(certificates.c.id)
)
_COUNT_DERIVED = Statement(
    select(func.count()).select_from(certificates).where(certificates.c.derived_from == bindparam("origin_id"))
)
_DERIVED_FROM = Statement(
    select(*_CERTIFICATE).where(certificates.c.derived_from == bindparam("origin_id")).order_by(certificates.c.id)
)

_ADD_KEY = Statement(
    insert(certified_keys).values(
        key_digest=bindparam("key_digest"),
        profile=bindparam("profile"),
        holder=bindparam("holder"),
        certified_at=bindparam("certified_at"),
    )
)
_BLOCK_KEY = Statement(
    text(
        "INSERT INTO blocked_keys (key_digest, reason, actor, blocked_at)"
        " VALUES (:key_digest, :reason, :actor, :blocked_at) ON CONFLICT (key_digest) DO NOTHING"
    ).bindparams(bindparam("blocked_at", type_=UtcTime))
)
_FIND_BLOCKED = Statement(select(blocked_keys.c.reason).where(blocked_keys.c.key_digest == bindparam("key_digest")))
_KEY_STATE = Statement(
    select(
        select(blocked_keys.c.key_digest).where(blocked_keys.c.key_digest == bindparam("key_digest")).scalar_subquery(),
        select(certified_keys.c.profile)
        .where(certified_keys.c.key_digest == bindparam("key_digest"))
        .scalar_subquery(),
        select(certified_keys.c.holder).where(certified_keys.c.key_digest == bindparam("key_digest")).scalar_subquery(),
    )
)

_BACKLOG = Statement(
    select(certificates.c.id, certificates.c.profile, certificates.c.der)
    .where(
        certificates.c.lint == "template", certificates.c.linted_at.is_(None), certificates.c.id > bindparam("after")
    )
    .order_by(certificates.c.id)
    .limit(bindparam("limit"))
)
_SET_LINTED = Statement(
    update(certificates)
    .where(certificates.c.id == bindparam("wanted_id"), certificates.c.linted_at.is_(None))
    .values(linted_at=bindparam("linted_at"), lint_findings=bindparam("lint_findings"))
)
_COUNT_BY_MODE = Statement(
    select(certificates.c.lint, func.count(), func.count(certificates.c.lint_findings)).group_by(certificates.c.lint)
)
_COUNT_WAITING = Statement(
    select(func.count(), func.min(certificates.c.issued_at)).where(
        certificates.c.lint == "template", certificates.c.linted_at.is_(None)
    )
)


class CertificateStore:
    """Certificates that were issued. Holds nothing; every method runs in the caller's transaction."""

    def find(self, tx: Transaction, authority_id: int, serial: int) -> IssuedCertificate | None:
        """The certificate of that authority with that serial."""
        return _certificate(tx.one_or_none(_FIND, authority_id=authority_id, serial=serial_text(serial)))

    def by_id(self, tx: Transaction, certificate_id: int) -> IssuedCertificate | None:
        return _certificate(tx.one_or_none(_BY_ID, id=certificate_id))

    def by_request(self, tx: Transaction, request_id: str) -> IssuedCertificate | None:
        """The certificate that was issued under an idempotency key."""
        return _certificate(tx.one_or_none(_BY_REQUEST, request_id=request_id))

    def by_card(self, tx: Transaction, card_number: str) -> list[IssuedCertificate]:
        """Those of one card, oldest first."""
        return [_issued(row) for row in tx.all(_BY_CARD, card_number=card_number)]

    def by_person(self, tx: Transaction, person_id: str) -> list[IssuedCertificate]:
        """Those of one person, oldest first."""
        return [_issued(row) for row in tx.all(_BY_PERSON, person_id=person_id)]

    def derived_from(self, tx: Transaction, certificate_id: int) -> list[IssuedCertificate]:
        """Those that were derived from one, oldest first; at most `origins.MAX_DERIVED`, and what was under way."""
        return [_issued(row) for row in tx.all(_DERIVED_FROM, origin_id=certificate_id)]

    def count_derived(self, tx: Transaction, certificate_id: int) -> int:
        row = tx.one_or_none(_COUNT_DERIVED, origin_id=certificate_id)
        return 0 if row is None else int(row[0])

    def block_key_of(
        self, tx: Transaction, certificate: x509.Certificate, *, reason: str, actor: str, now: datetime
    ) -> Record | None:
        """Never certify its key again. The record for the second place; None where the key was blocked before."""
        digest = _key_digest(certificate)
        if not KeyRegister().block(tx, digest, reason=reason, actor=actor, now=now):
            return None
        return blocked_key_record(digest, reason=reason, actor=actor, now=now)

    def add(self, tx: Transaction, intent: Intent, certificate: x509.Certificate, der: bytes, now: datetime) -> int:
        """Records the certificate that an intent became; returns its certificate_id. Raises: Conflict."""
        row = tx.one_or_none(
            _ADD_CERTIFICATE,
            request_id=intent.request_id,
            authority_id=intent.authority_id,
            serial=serial_text(intent.serial),
            profile=intent.profile,
            der=der,
            person_id=intent.person_id,
            card_number=intent.card_number,
            crl_shard=shard_named_by(certificate),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            issued_at=now,
            lint=intent.lint.value,
            linted_at=intent.created_at if intent.lint is LintMode.EVERY else None,
            derived_from=intent.derived_from,
        )
        if row is None:
            raise TypeError("an insert returned no row")
        certificate_id: int = row[0]
        return certificate_id


class LintBacklog:
    """Certificates that were issued by template, until each was linted itself."""

    def waiting(self, tx: Transaction, *, after: int, limit: int) -> list[tuple[int, str, bytes]]:
        """(certificate_id, profile, DER) of at most `limit` of them with a higher id."""
        return [(row[0], row[1], bytes(row[2])) for row in tx.all(_BACKLOG, after=after, limit=limit)]

    def set_linted(self, tx: Transaction, certificate_id: int, *, findings: str | None, now: datetime) -> bool:
        """True for the one worker that records it."""
        return tx.execute(_SET_LINTED, wanted_id=certificate_id, linted_at=now, lint_findings=findings) == 1

    def state(self, tx: Transaction) -> LintState:
        """The numbers. Reads every certificate's row: for people, not for requests."""
        by_mode = {row[0]: (row[1], row[2]) for row in tx.all(_COUNT_BY_MODE)}
        waiting = tx.one_or_none(_COUNT_WAITING) or (0, None)
        return LintState(
            every=by_mode.get(LintMode.EVERY.value, (0, 0))[0],
            template=by_mode.get(LintMode.TEMPLATE.value, (0, 0))[0],
            waiting=waiting[0],
            oldest_waiting=waiting[1],
            with_findings=sum(found for _, found in by_mode.values()),
        )


class IntentStore:
    """What may be signed. A row is written before the signature and never removed."""

    def add(self, tx: Transaction, intent: Intent) -> None:
        """Raises: Conflict, for a request_id or a serial of this authority that was used before."""
        tx.execute(_ADD_INTENT, **intent_values(intent))

    def add_all(self, tx: Transaction, new: Iterable[Intent]) -> None:
        """Raises: Conflict, as `add`, for any of them. In one order, whoever records the same."""
        ordered = sorted(new, key=lambda intent: intent.request_id)
        tx.execute_many(_ADD_INTENT, [intent_values(intent) for intent in ordered])

    def find(self, tx: Transaction, request_id: str) -> Intent | None:
        row = tx.one_or_none(_FIND_INTENT, request_id=request_id)
        return None if row is None else _intent(row)

    def open_after(self, tx: Transaction, after: str, limit: int) -> list[Intent]:
        """Intents without a certificate, by request_id, at most `limit` of those that follow `after`."""
        return [_intent(row) for row in tx.all(_OPEN_INTENTS, after=after, limit=limit)]

    def complete(self, tx: Transaction, request_id: str, now: datetime) -> bool:
        """True for the one caller that may record the certificate; False where another did."""
        return tx.execute(_COMPLETE_INTENT, wanted_request_id=request_id, completed_at=now) == 1


@dataclass(frozen=True, slots=True, order=True)
class KeyUse:
    """For what and for whom a key was certified first."""

    profile: str
    holder: str


@dataclass(frozen=True, slots=True)
class KeyState:
    """What the register knows of a key."""

    is_blocked: bool
    use: KeyUse | None


class KeyRegister:
    """Keys that were certified, and keys that never are. By SHA-256 of the SubjectPublicKeyInfo."""

    def state_of(self, tx: Transaction, key_digest: str) -> KeyState:
        """Both at once: whether the key is blocked, and what it was certified for."""
        row = tx.one_or_none(_KEY_STATE, key_digest=key_digest)
        if row is None:
            raise TypeError("a select of scalars returned no row")
        return KeyState(row[0] is not None, None if row[1] is None else KeyUse(row[1], row[2]))

    def add_uses(self, tx: Transaction, uses: Mapping[str, KeyUse], now: datetime) -> None:
        """By key digest. Raises: Conflict, for a key that has a use."""
        tx.execute_many(
            _ADD_KEY,
            [
                {"key_digest": digest, "profile": use.profile, "holder": use.holder, "certified_at": now}
                for digest, use in sorted(uses.items())  # in one order: who records the same waits, and no circle
            ],
        )

    def blocked_because(self, tx: Transaction, key_digest: str) -> str | None:
        """Why the key is never certified, or None where it may be."""
        row = tx.one_or_none(_FIND_BLOCKED, key_digest=key_digest)
        return None if row is None else row[0]

    def block(self, tx: Transaction, key_digest: str, *, reason: str, actor: str, now: datetime) -> bool:
        """Never certify this key (again). False where it was blocked before: then nothing changes."""
        return tx.execute(_BLOCK_KEY, key_digest=key_digest, reason=reason, actor=actor, blocked_at=now) == 1


def _key_digest(certificate: x509.Certificate) -> str:
    """As `keys.model.key_digest`, whose octets are those of the key written anew; of one that cannot be read, which
    is none that is certified here, by its own octets."""
    with suppress(ValueError, UnsupportedAlgorithm):
        key = certificate.public_key()
        if isinstance(key, PublicKey):
            return key_digest(key)
    parsed = Asn1Certificate.load(certificate.public_bytes(Encoding.DER))
    octets: bytes = parsed["tbs_certificate"]["subject_public_key_info"].dump()
    return sha256(octets).hexdigest()


def _certificate(row: Row | None) -> IssuedCertificate | None:
    return None if row is None else _issued(row)


def _issued(row: Row) -> IssuedCertificate:
    certificate_id, authority_id, serial, der, profile, person_id, card_number, crl_shard, lint, derived_from = row
    return IssuedCertificate(
        certificate_id=certificate_id,
        authority_id=authority_id,
        serial=int(serial, 16),
        certificate=x509.load_der_x509_certificate(bytes(der)),
        profile=profile,
        person_id=person_id,
        card_number=card_number,
        crl_shard=crl_shard,
        lint=None if lint is None else LintMode(lint),
        derived_from=derived_from,
    )


def intent_values(intent: Intent) -> dict[str, object]:
    """An intent's row."""
    return {
        "request_id": intent.request_id,
        "request_digest": intent.request_digest,
        "authority_id": intent.authority_id,
        "serial": serial_text(intent.serial),
        "profile": intent.profile,
        "tbs": intent.tbs,
        "person_id": intent.person_id,
        "card_number": intent.card_number,
        "actor": intent.actor,
        "created_at": intent.created_at,
        "lint": intent.lint.value,
        "completed_at": intent.completed_at,
        "derived_from": intent.derived_from,
    }


def _intent(row: Row) -> Intent:
    request_id, request_digest, authority_id, serial, profile, tbs, person_id, card_number, *rest = row
    actor, created, lint, done, derived_from = rest
    return Intent(
        request_id=request_id,
        request_digest=request_digest,
        authority_id=authority_id,
        serial=int(serial, 16),
        profile=profile,
        tbs=bytes(tbs),
        person_id=person_id,
        card_number=card_number,
        actor=actor,
        created_at=created,
        lint=LintMode(lint),
        completed_at=done,
        derived_from=derived_from,
    )
