"""What goes over the port: JSON with DER in standard base64, strict and bounded on both sides."""

from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Annotated, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from ca_core.issuance.errors import RequestMalformed
from ca_core.issuance.model import IssuanceRequest, IssuedCertificate, LintMode, StuckIntent
from ca_core.keys.model import PublicKey, spki_octets
from ca_core.signer.model import MAX_BATCH, MAX_STUCK, CrlWanted, RecoverySummary
from ca_core.status.model import CrlKind, CrlRecord

_MAX_DER = 16_384
_BIG = 1 << 62


def _octets(value: object) -> bytes:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_DER:
        raise ValueError("base64 of bounded length")
    return b64decode(value, validate=True)


Der = Annotated[bytes, PlainValidator(_octets), PlainSerializer(lambda octets: b64encode(octets).decode("ascii"))]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]  # PostgreSQL holds no NUL
Count = Annotated[int, Field(ge=0, le=_BIG)]
Moment = Annotated[
    AwareDatetime, Field(strict=False), PlainSerializer(lambda moment: moment.astimezone(UTC).isoformat())
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class RequestBody(_Body):
    """An IssuanceRequest. `subject_name` is not among its members: authorities come from ceremonies alone."""

    request_id: Name
    profile: Name
    authority: Name
    public_key: Der
    actor: Name
    subject_serial_number: Name | None = None
    common_name: Name | None = None
    national_id_last4: Name | None = None
    dns_names: Annotated[tuple[Name, ...], Field(max_length=32, strict=False)] = ()
    person_id: Name | None = None
    card_number: Name | None = None
    csr: Der | None = None
    derived_from: Count | None = None

    @classmethod
    def of(cls, request: IssuanceRequest) -> "RequestBody":
        """Raises: RequestMalformed, for what cannot be asked for over the port."""
        if request.subject_name is not None:
            raise RequestMalformed("subject_name: authorities' own certificates come from ceremonies")
        return cls.model_construct(
            request_id=request.request_id,
            profile=request.profile,
            authority=request.authority,
            public_key=spki_octets(request.public_key),
            actor=request.actor,
            subject_serial_number=request.subject_serial_number,
            common_name=request.common_name,
            national_id_last4=request.national_id_last4,
            dns_names=request.dns_names,
            person_id=request.person_id,
            card_number=request.card_number,
            csr=None if request.csr is None else request.csr.public_bytes(Encoding.DER),
            derived_from=request.derived_from,
        )

    def to_request(self) -> IssuanceRequest:
        """Raises: ValueError, for a key or a request that cannot be read."""
        key = load_der_public_key(self.public_key)
        if not isinstance(key, PublicKey):
            raise ValueError("public_key: neither RSA nor EC")
        return IssuanceRequest(
            request_id=self.request_id,
            profile=self.profile,
            authority=self.authority,
            public_key=key,
            actor=self.actor,
            subject_serial_number=self.subject_serial_number,
            common_name=self.common_name,
            national_id_last4=self.national_id_last4,
            dns_names=self.dns_names,
            person_id=self.person_id,
            card_number=self.card_number,
            csr=None if self.csr is None else x509.load_der_x509_csr(self.csr),
            derived_from=self.derived_from,
        )


class IssueBody(_Body):
    request: RequestBody


class IssueManyBody(_Body):
    requests: Annotated[tuple[RequestBody, ...], Field(min_length=1, max_length=MAX_BATCH, strict=False)]
    lint: Annotated[LintMode, Field(strict=False)] = LintMode.EVERY


class CrlBody(_Body):
    authority: Name
    wanted: Annotated[CrlWanted, Field(strict=False)]


class NothingBody(_Body):
    """Of operations that take nothing."""


class CertificateBody(_Body):
    """An IssuedCertificate; its serial is in the certificate."""

    certificate_id: Count
    authority_id: Count
    certificate: Der
    profile: Name
    person_id: Name | None
    card_number: Name | None
    crl_shard: Count | None
    lint: Annotated[LintMode | None, Field(strict=False)]
    derived_from: Count | None = None

    @classmethod
    def of(cls, issued: IssuedCertificate) -> "CertificateBody":
        return cls.model_construct(
            certificate_id=issued.certificate_id,
            authority_id=issued.authority_id,
            certificate=issued.certificate.public_bytes(Encoding.DER),
            profile=issued.profile,
            person_id=issued.person_id,
            card_number=issued.card_number,
            crl_shard=issued.crl_shard,
            lint=issued.lint,
            derived_from=issued.derived_from,
        )

    def to_issued(self) -> IssuedCertificate:
        """Raises: ValueError, for a certificate that cannot be read."""
        certificate = x509.load_der_x509_certificate(self.certificate)
        return IssuedCertificate(
            certificate_id=self.certificate_id,
            authority_id=self.authority_id,
            serial=certificate.serial_number,
            certificate=certificate,
            profile=self.profile,
            person_id=self.person_id,
            card_number=self.card_number,
            crl_shard=self.crl_shard,
            lint=self.lint,
            derived_from=self.derived_from,
        )


class IssueAnswer(_Body):
    certificate: CertificateBody


class Outcome(_Body):
    """Either a certificate or an error's code."""

    certificate: CertificateBody | None = None
    error: Name | None = None


class IssueManyAnswer(_Body):
    outcomes: Annotated[tuple[Outcome, ...], Field(max_length=MAX_BATCH, strict=False)]


class CrlRecordBody(_Body):
    """A CrlRecord."""

    id: Count
    authority_id: Count
    number: Count
    this_update: Moment
    next_update: Moment
    through: Count
    entries: Count
    size_bytes: Count
    chunks: Count
    kind: Annotated[CrlKind, Field(strict=False)]
    base_number: Count | None
    shard: Count | None

    FIELDS: ClassVar[tuple[str, ...]] = (
        "id",
        "authority_id",
        "number",
        "this_update",
        "next_update",
        "through",
        "entries",
        "size_bytes",
        "chunks",
        "kind",
        "base_number",
        "shard",
    )

    @classmethod
    def of(cls, record: CrlRecord) -> "CrlRecordBody":
        return cls.model_construct(**{name: getattr(record, name) for name in cls.FIELDS})

    def to_record(self) -> CrlRecord:
        return CrlRecord(
            id=self.id,
            authority_id=self.authority_id,
            number=self.number,
            this_update=_utc(self.this_update),
            next_update=_utc(self.next_update),
            through=self.through,
            entries=self.entries,
            size_bytes=self.size_bytes,
            chunks=self.chunks,
            kind=self.kind,
            base_number=self.base_number,
            shard=self.shard,
        )


class CrlsAnswer(_Body):
    """What was published; one where one was asked for."""

    published: Annotated[tuple[CrlRecordBody, ...], Field(max_length=10_000, strict=False)]


class StuckBody(_Body):
    request_id: Name
    authority_id: Count
    serial: Annotated[str, Field(pattern="^[0-9a-f]{1,40}$")]
    reason: Name


class RecoveryAnswer(_Body):
    recovered: Count
    stuck: Annotated[tuple[StuckBody, ...], Field(max_length=MAX_STUCK, strict=False)]

    @classmethod
    def of(cls, summary: RecoverySummary) -> "RecoveryAnswer":
        return cls(
            recovered=summary.recovered,
            stuck=tuple(
                StuckBody(
                    request_id=one.request_id,
                    authority_id=one.authority_id,
                    serial=format(one.serial, "x"),
                    reason=one.reason[:256],
                )
                for one in summary.stuck
            ),
        )

    def to_summary(self) -> RecoverySummary:
        return RecoverySummary(
            recovered=self.recovered,
            stuck=tuple(
                StuckIntent(
                    request_id=one.request_id,
                    authority_id=one.authority_id,
                    serial=int(one.serial, 16),
                    reason=one.reason,
                )
                for one in self.stuck
            ),
        )


class KeysAnswer(_Body):
    """By authority: "ok", or why its key cannot sign."""

    keys: dict[Name, Name]


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
