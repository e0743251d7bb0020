"""Linting once for many: a linted certificate as a template, and rules for the few fields that differ from it.

A template is made for a profile, an authority and a kind of subject key. Each of the profile's boundary cases is drawn
up by the certificate builder and linted; what they have in common, octet by octet, is the template. A certificate is
then spliced from it and read back: every octet outside the variable fields must be the template's, and every variable
field must obey its own rule and say what was asked for. Splicing is checked against the builder on each boundary case.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ca_core.authorities.model import AuthoritySigner
from ca_core.crl_shards.model import CrlShard, ShardLayout
from ca_core.issuance import der
from ca_core.issuance.boundary import boundary_cases
from ca_core.issuance.checks import Candidate
from ca_core.issuance.draft import SERIAL_BYTES, Draft, ThrowawayKeys, draw_up
from ca_core.issuance.errors import IssuanceFault, LintRefused
from ca_core.issuance.extensions import IssuerFacts, build_extension
from ca_core.issuance.lint import LintedRequest, Linter
from ca_core.issuance.template_fields import ExtensionSlot, NameSlots, ShardedOctets, Spliced, extension_slots
from ca_core.issuance.validity import validity_of
from ca_core.kernel.clock import Clock
from ca_core.kernel.rng import Rng
from ca_core.keys.model import KeyAlgorithm, key_algorithm_of, spki_octets
from ca_core.profiles.model import CrlDistributionPoints, Profile

_PARTS = 8
"""version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, extensions."""
MAX_TEMPLATES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A linted TBSCertificate, cut up. version, algorithm and issuer are whole values; the rest are slots."""

    version: bytes
    algorithm: bytes
    issuer: bytes
    issuer_not_after: datetime | None
    names: NameSlots
    extensions: tuple[ExtensionSlot, ...]
    signed_as: bytes
    """signatureAlgorithm and signatureValue of a linted preview: a throwaway key's, over other octets."""

    def splice(self, candidate: Candidate, serial: int) -> bytes:
        """The TBSCertificate for a checked candidate. Raises: IssuerNotValid."""
        request = candidate.request
        not_before, not_after = self._validity_of(candidate)
        spki = spki_octets(request.public_key)
        made = Spliced(request, spki, serial)
        extensions = b"".join([slot.fill(made) for slot in self.extensions])
        return der.tlv(
            der.SEQUENCE,
            b"".join(
                (
                    self.version,
                    der.integer(serial),
                    self.algorithm,
                    self.issuer,
                    der.tlv(der.SEQUENCE, der.time(not_before) + der.time(not_after)),
                    self.names.fill(request),
                    spki,
                    der.tlv(der.EXTENSIONS, der.tlv(der.SEQUENCE, extensions)),
                )
            ),
        )

    def verify(self, tbs: bytes, candidate: Candidate, serial: int) -> None:
        """Reads the octets back and judges every one of them. Raises: LintRefused, which names the field."""
        try:
            parts = der.children(der.contents(tbs, der.SEQUENCE))
        except ValueError as error:
            raise LintRefused("TEMPLATE tbsCertificate: not DER") from error
        if len(parts) != _PARTS:
            raise LintRefused("TEMPLATE tbsCertificate: a field too many or too few")
        version, number, algorithm, issuer, validity, subject, spki, extensions = parts
        if (version, algorithm, issuer) != (self.version, self.algorithm, self.issuer):
            raise LintRefused("TEMPLATE version, signature, issuer: not the template's")
        _verify_serial(number, serial)
        self._verify_validity(validity, candidate)
        try:
            self.names.verify(subject, candidate.request)
            if spki != spki_octets(candidate.request.public_key):
                raise LintRefused("TEMPLATE subjectPublicKeyInfo: not the request's")
            found = der.children(der.contents(der.contents(extensions, der.EXTENSIONS), der.SEQUENCE))
            if len(found) != len(self.extensions):
                raise LintRefused("TEMPLATE extensions: one too many or too few")
            made = Spliced(candidate.request, spki, serial)
            for slot, octets in zip(self.extensions, found, strict=True):
                slot.verify(octets, made)
        except ValueError as error:
            raise LintRefused("TEMPLATE subject, extensions: not DER") from error

    def _validity_of(self, candidate: Candidate) -> tuple[datetime, datetime]:
        return validity_of(candidate.profile.validity, candidate.now, self.issuer_not_after, candidate.ends_by)

    def _verify_validity(self, octets: bytes, candidate: Candidate) -> None:
        not_before, not_after = self._validity_of(candidate)
        try:
            begin, end = der.children(der.contents(octets, der.SEQUENCE))
        except ValueError as error:
            raise LintRefused("TEMPLATE validity: not two times") from error
        if not_before >= not_after or _parse_time(begin) != not_before or _parse_time(end) != not_after:
            raise LintRefused("TEMPLATE validity: not what the profile says")


@dataclass(frozen=True, slots=True)
class _Known:
    profile: Profile
    signer: AuthoritySigner
    shards: ShardLayout | None
    template: Template

    def is_for(self, profile: Profile, signer: AuthoritySigner, shards: ShardLayout | None) -> bool:
        """Whether it was made from all of that, and not from what it was before a change."""
        return self.profile is profile and (self.signer is signer or self.signer == signer) and self.shards == shards


class Templates:
    """Templates by profile, authority and kind of key, made at first use; a bounded number of them."""

    def __init__(self, linter: Linter, throwaway: ThrowawayKeys, publication_url: str, clock: Clock) -> None:
        self._linter = linter
        self._throwaway = throwaway
        self._publication_url = publication_url
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int, bytes, KeyAlgorithm], _Known] = {}

    def linted(self, candidate: Candidate, serial: int) -> LintedRequest:
        """The candidate's certificate, spliced and judged. Raises: LintRefused, IssuerNotValid, IssuanceFault."""
        template = self.template(
            candidate.profile, candidate.signer, key_algorithm_of(candidate.request.public_key), candidate.crl_shards
        )
        tbs = template.splice(candidate, serial)
        template.verify(tbs, candidate, serial)
        return self._linter.accept(Draft(tbs=tbs, preview=b"", serial=serial))

    def draft(self, candidate: Candidate, serial: int) -> Draft:
        """The candidate's certificate, spliced, for a linter to read: what the builder makes, in a tenth of its time.

        Raises: LintRefused, IssuerNotValid, IssuanceFault.
        """
        algorithm = key_algorithm_of(candidate.request.public_key)
        template = self.template(candidate.profile, candidate.signer, algorithm, candidate.crl_shards)
        tbs = template.splice(candidate, serial)
        return Draft(tbs=tbs, preview=der.tlv(der.SEQUENCE, tbs + template.signed_as), serial=serial)

    def template(
        self, profile: Profile, signer: AuthoritySigner, algorithm: KeyAlgorithm, shards: ShardLayout | None
    ) -> Template:
        """The template, made where there is none yet: that costs some tens of milliseconds. Raises: LintRefused."""
        key = (profile.name, signer.id, signer.key_identifier, algorithm)
        known = self._known.get(key)
        if known is not None and known.is_for(profile, signer, shards):
            return known.template
        made = self._made(profile, signer, algorithm, shards)
        with self._lock:
            while len(self._known) >= MAX_TEMPLATES:
                self._known.pop(next(iter(self._known)))
            self._known[key] = _Known(profile, signer, shards, made)
        return made

    def _made(
        self, profile: Profile, signer: AuthoritySigner, algorithm: KeyAlgorithm, shards: ShardLayout | None
    ) -> Template:
        throwaway = self._throwaway.like(signer.public_key)
        cases = list(boundary_cases(profile, signer, algorithm, shards, self._clock()))
        drafts = []
        for case in cases:
            draft = draw_up(case.candidate, self._publication_url, throwaway, _always(case.serial))
            self._linter.lint(draft, waived=profile.waived_findings)
            drafts.append(draft)
        request = cases[0].candidate.request

        def sharded_octets(rule: CrlDistributionPoints, shard: CrlShard) -> bytes:
            facts = IssuerFacts(
                slug=signer.slug,
                key_identifier=signer.key_identifier,
                publication_url=self._publication_url,
                crl_shard=shard,
            )
            return build_extension(rule, request, facts).public_bytes()

        template = _cut(profile, signer, drafts, shards, sharded_octets)
        for case, draft in zip(cases, drafts, strict=True):
            if template.splice(case.candidate, case.serial) != draft.tbs:
                raise IssuanceFault(f"{profile.name}: splicing and the certificate builder disagree")
            template.verify(draft.tbs, case.candidate, case.serial)
        return template


def _always(serial: int) -> Rng:
    """Randomness that makes that serial."""
    return lambda size: serial.to_bytes(size, "big")


def _cut(
    profile: Profile,
    signer: AuthoritySigner,
    drafts: Sequence[Draft],
    shards: ShardLayout | None,
    sharded_octets: ShardedOctets,
) -> Template:
    try:
        cut = [der.children(der.contents(draft.tbs, der.SEQUENCE)) for draft in drafts]
        version, _, signature, issuer, _, subject, spki, _ = cut[0]
        for parts in cut:
            if (parts[0], parts[2], parts[3], len(parts)) != (version, signature, issuer, _PARTS):
                raise IssuanceFault(f"{profile.name}: its certificates have too little in common for a template")
        lists = [der.children(der.contents(der.contents(parts[7], der.EXTENSIONS), der.SEQUENCE)) for parts in cut]
        extensions = extension_slots(profile, lists, spki, shards, sharded_octets)
        names = NameSlots.of(profile, subject)
    except ValueError as error:
        raise IssuanceFault(f"{profile.name}: no template can be cut from its certificates") from error
    return Template(
        version=version,
        algorithm=signature,
        issuer=issuer,
        issuer_not_after=None if signer.certificate is None else signer.certificate.not_valid_after_utc,
        names=names,
        extensions=extensions,
        signed_as=b"".join(der.children(der.contents(drafts[0].preview, der.SEQUENCE))[1:]),
    )


def _verify_serial(octets: bytes, serial: int) -> None:
    """Positive, at most SERIAL_BYTES octets, minimal, and the one that was drawn. Spec: RFC 5280 s4.1.2.2."""
    value = der.value_of(octets)
    if (
        octets[0] != der.INTEGER
        or not 1 <= len(value) <= SERIAL_BYTES
        or value[0] & 0x80
        or (len(value) > 1 and value[0] == 0 and not value[1] & 0x80)
        or int.from_bytes(value, "big") != serial
        or serial <= 0
    ):
        raise LintRefused("TEMPLATE serialNumber: not a positive number of at most 16 octets")


def _parse_time(octets: bytes) -> datetime | None:
    """A Time in the form that its year demands, or None."""
    text = der.value_of(octets).decode("latin-1")
    is_short = octets[0] == der.UTC_TIME and len(text) == 13
    is_long = octets[0] == der.GENERALIZED_TIME and len(text) == 15
    if not (is_short or is_long) or text[-1] != "Z" or not text[:-1].isascii() or not text[:-1].isdigit():
        return None
    digits = text[:-1]
    if is_short:
        digits = ("20" if digits[:2] < "50" else "19") + digits
    try:
        found = datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return found if is_short == (found.year < 2050) else None
