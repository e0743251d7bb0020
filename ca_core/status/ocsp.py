"""The OCSP responder: octets in, octets out; every fault of a request ends in a protocol error."""

from dataclasses import dataclass
from datetime import datetime

from ca_core.authorities.model import Authority
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Unavailable
from ca_core.keys.errors import KeyStoreError
from ca_core.revocation.log import StatusLog
from ca_core.status.errors import OcspRequestForeign, OcspRequestMalformed, ResponderMissing
from ca_core.status.model import OcspSettings, whole_second
from ca_core.status.ocsp_cache import AnswerCache, SignedAnswer
from ca_core.status.ocsp_request import CertId, OcspRequest, parse_ocsp_request
from ca_core.status.ocsp_response import ResponseStatus, SingleAnswer, error_response, signed_response
from ca_core.status.ports import Authorities, Serials
from ca_core.status.responders import Responders
from ca_core.status.service import StatusService

_DEFAULTS = OcspSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspAnswer:
    """An OCSPResponse in DER. cache_seconds: how long an HTTP cache may keep it, None for not at all.

    this_update, next_update: None in an error response.
    """

    der: bytes
    cache_seconds: int | None = None
    this_update: datetime | None = None
    next_update: datetime | None = None


_MALFORMED = OcspAnswer(der=error_response(ResponseStatus.MALFORMED_REQUEST))
_UNAUTHORIZED = OcspAnswer(der=error_response(ResponseStatus.UNAUTHORIZED))
_TRY_LATER = OcspAnswer(der=error_response(ResponseStatus.TRY_LATER))


class OcspResponder:
    """Answers from the database, with delegated keys; no authority's key is used."""

    def __init__(
        self,
        database: Database,
        authorities: Authorities,
        serials: Serials,
        status: StatusService,
        log: StatusLog,
        responders: Responders,
        clock: Clock,
        settings: OcspSettings = _DEFAULTS,
    ) -> None:
        self._database = database
        self._authorities = authorities
        self._serials = serials
        self._status = status
        self._responders = responders
        self._clock = clock
        self._settings = settings
        self._cache = AnswerCache(database, log, clock, poll=settings.poll, size=settings.cached_answers)

    @property
    def max_request_bytes(self) -> int:
        return self._settings.max_request_bytes

    def respond(self, request_der: bytes) -> OcspAnswer:
        """The answer to untrusted octets; never raises for what they hold.

        malformedRequest: not an OCSPRequest, or over a bound. unauthorized: an issuer that is none of ours, or several.
        tryLater: the database or a responder's key cannot be asked now. unknown: a serial never issued.
        """
        try:
            return self._answer(request_der)
        except OcspRequestMalformed:
            return _MALFORMED
        except OcspRequestForeign:
            return _UNAUTHORIZED
        except (ResponderMissing, Unavailable, KeyStoreError):
            return _TRY_LATER

    def malformed(self) -> OcspAnswer:
        """The answer to a request whose octets could not even be had."""
        return _MALFORMED

    def _answer(self, request_der: bytes) -> OcspAnswer:
        known_head = self._cache.refresh()
        now = self._clock()
        if len(request_der) <= self._settings.max_request_bytes:
            kept = self._cache.find(request_der, now)
            if kept is not None:
                return self._to_wire(kept, now, may_cache=True)
        request = parse_ocsp_request(
            request_der,
            max_bytes=self._settings.max_request_bytes,
            max_certificates=self._settings.max_certificates,
        )
        authority = self._authority(request)
        answer, is_complete = self._sign(authority, request, now)
        may_cache = is_complete and request.nonce is None
        if may_cache:
            self._cache.keep(request_der, answer, known_head=known_head)
        return self._to_wire(answer, now, may_cache=may_cache)

    def _authority(self, request: OcspRequest) -> Authority:
        """The one authority that every CertID names: a delegated key speaks for the authority that certified it."""
        found: Authority | None = None
        for cert_id in request.cert_ids:
            authority = self._authorities.by_key_hash(
                cert_id.issuer_key_hash, cert_id.algorithm, cert_id.issuer_name_hash
            )
            if authority is None or (found is not None and authority.id != found.id):
                raise OcspRequestForeign("not an issuer of ours, or several")
            found = authority
        if found is None:
            raise OcspRequestMalformed("no certificate")
        return found

    def _sign(self, authority: Authority, request: OcspRequest, now: datetime) -> tuple[SignedAnswer, bool]:
        """The answer, and whether it speaks of issued certificates only."""
        responder = self._responders.current(authority.id)
        certificate_ids: list[int] = []
        singles: list[SingleAnswer] = []
        with self._database.read() as tx:
            for cert_id in request.cert_ids:
                certificate_id = self._find(tx, authority, cert_id)
                if certificate_id is None:
                    singles.append(SingleAnswer(cert_id=cert_id.octets, status=None))
                    continue
                certificate_ids.append(certificate_id)
                status = self._status.status_of(tx, certificate_id)
                singles.append(SingleAnswer(cert_id=cert_id.octets, status=status))
        this_update = whole_second(now)
        next_update = min(this_update + self._settings.validity, responder.not_after)
        der = signed_response(
            responder, tuple(singles), this_update=this_update, next_update=next_update, nonce=request.nonce
        )
        answer = SignedAnswer(
            der=der, certificate_ids=frozenset(certificate_ids), this_update=this_update, next_update=next_update
        )
        return answer, len(certificate_ids) == len(singles)

    def _find(self, tx: Transaction, authority: Authority, cert_id: CertId) -> int | None:
        if not cert_id.has_possible_serial:
            return None
        return self._serials.find_id(tx, authority.id, cert_id.serial)

    def _to_wire(self, answer: SignedAnswer, now: datetime, *, may_cache: bool) -> OcspAnswer:
        seconds = None
        if may_cache:
            seconds = int(min(self._settings.max_age, answer.next_update - now).total_seconds())
        return OcspAnswer(
            der=answer.der, cache_seconds=seconds, this_update=answer.this_update, next_update=answer.next_update
        )
