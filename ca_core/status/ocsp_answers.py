"""One certificate's or several certificates' answer: read from the records, signed by the authority's delegate."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.authorities.model import Authority
from ca_core.kernel.database import Transaction
from ca_core.status.model import OcspSettings, Responder, whole_second
from ca_core.status.ocsp_request import CertId
from ca_core.status.ocsp_response import SingleAnswer, signed_response
from ca_core.status.ports import Certificates
from ca_core.status.service import StatusService


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OcspAnswer:
    """An OCSPResponse in DER. cache_seconds: how long an HTTP cache may keep it, None for not at all.

    this_update, next_update: None in an error response. Compared by identity.
    """

    der: bytes
    cache_seconds: int | None = None
    this_update: datetime | None = None
    next_update: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignedAnswer(OcspAnswer):
    """An answer and how long it holds. certificate_ids: of what it speaks of, and its signer's own.

    Answers are handed out in the first half of their life, and cache_seconds is at most the other half: so no HTTP
    cache outlives nextUpdate.
    """

    certificate_ids: frozenset[int]
    this_update: datetime
    next_update: datetime

    young_until: datetime = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "young_until", self.this_update + (self.next_update - self.this_update) / 2)

    def is_young(self, now: datetime) -> bool:
        """In the first half of its life."""
        return self.this_update <= now < self.young_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the records say about one CertID. certificate_id: None for a serial that was never issued.

    changed: the place in the status log of the certificate's latest change, 0 where there was none: an answer made of
    this is right for exactly as long as the latest change is that one.
    """

    single: SingleAnswer
    certificate_id: int | None
    changed: int


class AnswerSigner:
    """Makes answers. Uses responders' keys alone."""

    def __init__(self, certificates: Certificates, status: StatusService, settings: OcspSettings) -> None:
        self._certificates = certificates
        self._status = status
        self._settings = settings

    def find_all(
        self, tx: Transaction, authority: Authority, cert_ids: Sequence[CertId], now: datetime
    ) -> tuple[Found, ...]:
        """`find` for each of them."""
        return tuple(
            self.find(tx, authority, one.octets, one.serial if one.has_possible_serial else None, now)
            for one in cert_ids
        )

    def find(self, tx: Transaction, authority: Authority, cert_id: bytes, serial: int | None, now: datetime) -> Found:
        """The status as that transaction sees it, with the certificate's hash as the proof that it was issued.

        serial: None for one that no certificate of ours can have.
        """
        issued = None if serial is None else self._certificates.find(tx, authority.id, serial)
        if issued is None:
            return Found(single=SingleAnswer(cert_id=cert_id, status=None), certificate_id=None, changed=0)
        status, changed = self._status.status_and_change(tx, issued.certificate_id)
        has_expired = issued.certificate.not_valid_after_utc < now
        single = SingleAnswer(
            cert_id=cert_id,
            status=status,
            certificate_sha256=sha256(issued.certificate.public_bytes(Encoding.DER)).digest(),
            archive_cutoff=authority.certificate.not_valid_before_utc if has_expired else None,
        )
        return Found(single=single, certificate_id=issued.certificate_id, changed=changed)

    def sign(
        self, responder: Responder, found: Sequence[Found], now: datetime, *, nonce: bytes | None = None
    ) -> SignedAnswer:
        """No database is open meanwhile: the key may lie in an HSM."""
        this_update = whole_second(now)
        next_update = min(this_update + self._settings.validity, responder.not_after)
        der = signed_response(
            responder,
            tuple(one.single for one in found),
            this_update=this_update,
            next_update=next_update,
            nonce=nonce,
        )
        spoken_of = [one.certificate_id for one in found if one.certificate_id is not None]
        may_cache = nonce is None and len(spoken_of) == len(found)  # an unknown one may be issued the next moment
        return SignedAnswer(
            der=der,
            certificate_ids=frozenset((*spoken_of, responder.certificate_id)),
            this_update=this_update,
            next_update=next_update,
            cache_seconds=self._cache_seconds(this_update, next_update) if may_cache else None,
        )

    def stored(self, der: bytes, certificate_ids: frozenset[int], this: datetime, next_: datetime) -> SignedAnswer:
        """An answer that was signed before and kept."""
        return SignedAnswer(
            der=der,
            certificate_ids=certificate_ids,
            this_update=this,
            next_update=next_,
            cache_seconds=self._cache_seconds(this, next_),
        )

    def _cache_seconds(self, this_update: datetime, next_update: datetime) -> int:
        return int(min(self._settings.max_age, (next_update - this_update) / 2).total_seconds())
