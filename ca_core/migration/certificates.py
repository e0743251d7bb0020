"""Certificates of an imported authority, each verified by itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from ca_core.authorities.model import Authority
from ca_core.issuance import der
from ca_core.issuance.past import ForeignCertificate, PastCertificates
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Transaction
from ca_core.keys.model import KeyAlgorithm, key_algorithm_of
from ca_core.migration import store
from ca_core.migration.model import Item, Outcome, Reason, Verdict
from ca_core.migration.ports import Holders
from ca_core.profiles.oids import ASSURANCE_LEVEL_3, NATIONAL_ID_LAST4, PRIVATE_ARC
from ca_core.validation.errors import CertificateMalformed
from ca_core.validation.presented import PresentedCertificate, parse_presented_certificate

SIGNATURE_PROFILE, ENCRYPTION_PROFILE = "citizen-legacy-signature", "citizen-legacy-encryption"
_USAGES = {
    frozenset({"digital_signature"}): SIGNATURE_PROFILE,
    frozenset({"digital_signature", "content_commitment"}): SIGNATURE_PROFILE,
    frozenset({"key_encipherment"}): ENCRYPTION_PROFILE,
    frozenset({"key_encipherment", "data_encipherment"}): ENCRYPTION_PROFILE,
}
_BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_SERIAL_NUMBER = re.compile(r"[0-9]{16}")
_LAST4 = re.compile(r"[0-9]{4}")
_SUBJECT_DIRECTORY_ATTRIBUTES = x509.ObjectIdentifier("2.5.29.9")
_STRINGS = (der.PRINTABLE_STRING, der.UTF8_STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verified:
    """A certificate that the authority signed, of a profile that we know."""

    presented: PresentedCertificate
    profile: str
    subject_serial_number: str
    last4: str | None


class CertificateImporter:
    """Judges in this order: form, key, signature, profile, subject; then serial and holder, which need the database.

    without_holders: dangerous only in what it leaves out: certificates then belong to nobody and can be revoked, not
    used.
    """

    def __init__(
        self,
        authority: Authority,
        past: PastCertificates,
        holders: Holders | None,
        clock: Clock,
        *,
        actor: str,
        without_holders: bool = False,
    ) -> None:
        self._authority = authority
        self._past = past
        self._holders = holders
        self._clock = clock
        self._actor = actor
        self._without_holders = without_holders

    def prepare(self, item: Item) -> object:
        """A verified certificate, or why there is none. An issuer's name proves nothing here: the key decides."""
        if item.octets is None:
            return item.refusal or Reason.CERTIFICATE_MALFORMED
        try:
            presented = parse_presented_certificate(item.octets)
        except CertificateMalformed:
            return Reason.CERTIFICATE_MALFORMED
        if presented.issuer_key_identifier not in (None, self._authority.key_identifier):
            return Reason.OTHER_AUTHORITY
        try:
            presented.certificate.verify_directly_issued_by(self._authority.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return Reason.SIGNATURE_WRONG
        profile = _profile(presented)
        if profile is None:
            return Reason.PROFILE_UNKNOWN
        try:
            serial_number, last4 = _subject(presented.certificate)
        except ValueError:
            return Reason.SUBJECT_MALFORMED
        return _Verified(presented=presented, profile=profile, subject_serial_number=serial_number, last4=last4)

    def write(self, tx: Transaction, prepared: Sequence[object]) -> list[Outcome]:
        """Records those that are new; a batch may hold the same serial twice."""
        outcomes: list[Outcome] = []
        found: dict[int, ForeignCertificate] = {}
        for one in prepared:
            if not isinstance(one, _Verified):
                raise TypeError("not prepared here")
            earlier = found.get(one.presented.serial)
            if earlier is not None:
                outcomes.append(Verdict.KNOWN if earlier.der == one.presented.der else Reason.SERIAL_TAKEN)
                continue
            outcome = self._judged(tx, one)
            if isinstance(outcome, ForeignCertificate):
                found[one.presented.serial] = outcome
                outcomes.append(Verdict.ACCEPTED)
            else:
                outcomes.append(outcome)
        self._past.add_all(tx, list(found.values()), actor=self._actor, now=self._now())
        return outcomes

    def _judged(self, tx: Transaction, one: _Verified) -> ForeignCertificate | Outcome:
        presented = one.presented
        known = self._past.find(tx, self._authority.id, presented.serial)
        if known is not None:
            return Verdict.KNOWN if known.der == presented.der else Reason.SERIAL_TAKEN
        if self._past.is_serial_taken(tx, self._authority.id, presented.serial):
            return Reason.SERIAL_TAKEN
        person_id, card_number = None, None
        if not self._without_holders:
            match = None if self._holders is None else self._holders.match(tx, one.subject_serial_number, one.last4)
            if match is None:
                return Reason.HOLDER_UNKNOWN
            if not match.is_same:
                return Reason.HOLDER_DIFFERS
            person_id = match.person_id
            card_number = store.card_of(tx, person_id)
        return ForeignCertificate(
            authority_id=self._authority.id,
            certificate=presented.certificate,
            der=presented.der,
            public_key=presented.public_key,
            profile=one.profile,
            person_id=person_id,
            card_number=card_number,
            holder=sha256(f"import {self._authority.slug} {one.subject_serial_number}".encode("ascii")).hexdigest(),
        )

    def _now(self) -> datetime:
        return self._clock()


def _profile(presented: PresentedCertificate) -> str | None:
    """The profile of cards issued until now: RSA-2048, assurance level 3, no extended usage, no policy of ours."""
    if presented.is_ca or presented.extended_key_usage is not None or presented.key_usage is None:
        return None
    if key_algorithm_of(presented.public_key) is not KeyAlgorithm.RSA_2048:
        return None
    if ASSURANCE_LEVEL_3 not in presented.policies:
        return None
    if any(policy.startswith(f"{PRIVATE_ARC}.") for policy in presented.policies):
        return None
    usage = presented.key_usage
    return _USAGES.get(frozenset(bit for bit in _BITS if getattr(usage, bit)))


def _subject(certificate: x509.Certificate) -> tuple[str, str | None]:
    """The subject's 16 digits, and the last four characters of the national ID where it names them.

    Raises: ValueError.
    """
    values = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)]
    if len(values) != 1 or not isinstance(values[0], str) or not _SERIAL_NUMBER.fullmatch(values[0]):
        raise ValueError("serialNumber")
    try:
        extension = certificate.extensions.get_extension_for_oid(_SUBJECT_DIRECTORY_ATTRIBUTES).value
    except x509.ExtensionNotFound:
        return values[0], None
    if not isinstance(extension, x509.UnrecognizedExtension):
        raise ValueError("subjectDirectoryAttributes")
    return values[0], _last4(extension.value)


def _last4(attributes: bytes) -> str | None:
    wanted = x509.ObjectIdentifier(NATIONAL_ID_LAST4).dotted_string
    for attribute in der.children(der.contents(attributes, der.SEQUENCE)):
        oid, values = der.children(der.contents(attribute, der.SEQUENCE))
        if _dotted(der.contents(oid, der.OBJECT_IDENTIFIER)) != wanted:
            continue
        (value,) = der.children(der.contents(values, der.SET))
        if value[0] not in _STRINGS:
            raise ValueError("not a string")
        text = der.value_of(value).decode("ascii")
        if not _LAST4.fullmatch(text):
            raise ValueError("not four digits")
        return text
    return None


def _dotted(octets: bytes) -> str:
    arcs, value = [], 0
    for octet in octets:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2) if arcs else 0
    return ".".join(str(arc) for arc in ([first, arcs[0] - 40 * first, *arcs[1:]] if arcs else []))
