"""The OCSP responder: octets in, octets out; every fault of a request ends in a protocol error.

An answer comes from this process's memory, else from those signed beforehand, else it is signed now. Whichever it is,
it says what the status log says: memory is dropped by the log within `poll`, and an answer signed beforehand is taken
only if the certificate's latest change, read with it, is the one it was made of.
"""

from collections.abc import Callable
from datetime import datetime

import structlog

from ca_core.authorities.model import Authority
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import DatabaseRefused, Unavailable
from ca_core.keys.errors import KeyStoreError
from ca_core.revocation.log import StatusLog
from ca_core.status.errors import OcspRequestForeign, OcspRequestMalformed, ResponderMissing
from ca_core.status.model import OcspSettings
from ca_core.status.ocsp_answers import AnswerSigner, OcspAnswer, SignedAnswer
from ca_core.status.ocsp_cache import AnswerCache
from ca_core.status.ocsp_presigned import PresignedAnswers
from ca_core.status.ocsp_request import OcspRequest, parse_ocsp_request
from ca_core.status.ocsp_response import ResponseStatus, error_response
from ca_core.status.ports import Authorities, Certificates
from ca_core.status.responders import Responders
from ca_core.status.service import StatusService

log = structlog.get_logger(__name__)
_DEFAULTS = OcspSettings()
_MALFORMED = OcspAnswer(der=error_response(ResponseStatus.MALFORMED_REQUEST))
_UNAUTHORIZED = OcspAnswer(der=error_response(ResponseStatus.UNAUTHORIZED))
_TRY_LATER = OcspAnswer(der=error_response(ResponseStatus.TRY_LATER))
_INTERNAL_ERROR = OcspAnswer(der=error_response(ResponseStatus.INTERNAL_ERROR))


class OcspResponder:
    """Answers from the database, with delegated keys; no authority's key is used."""

    def __init__(
        self,
        database: Database,
        authorities: Authorities,
        certificates: Certificates,
        status: StatusService,
        log: StatusLog,
        responders: Responders,
        clock: Clock,
        settings: OcspSettings = _DEFAULTS,
    ) -> None:
        self._database = database
        self._authorities = authorities
        self._responders = responders
        self._clock = clock
        self._settings = settings
        self._cache = AnswerCache(database, log, clock, poll=settings.poll, size=settings.cached_answers)
        self._start: Callable[[Callable[[], None]], object] | None = None
        self._is_asking = False
        self._signer = AnswerSigner(certificates, status, settings)
        self.presigned = PresignedAnswers(database, authorities, responders, self._signer, status, log, clock, settings)

    @property
    def max_request_bytes(self) -> int:
        return self._settings.max_request_bytes

    def ask_ahead_by(self, start: Callable[[Callable[[], None]], object]) -> None:
        """From now on `remembered` has the status log asked, by `start`, before what is in memory may not be used any
        more. Without it the request that finds it too old waits for that, and so does each that comes meanwhile."""
        self._start = start

    def remembered(self, request_der: bytes) -> SignedAnswer | None:
        """The answer from this process's memory, without waiting for anything; None where `respond` must be called."""
        cache, now = self._cache, self._clock()
        if not cache.is_fresh(now):
            return None
        if self._start is not None and not self._is_asking and cache.is_due(now):
            self._begin_to_ask(self._start)
        return cache.find(request_der, now)

    def _begin_to_ask(self, start: Callable[[Callable[[], None]], object]) -> None:
        self._is_asking = True
        try:
            start(self._ask_ahead)
        except Unavailable:  # no thread: the next one that asks tries again
            self._is_asking = False

    def _ask_ahead(self) -> None:
        """Where it fails, memory grows too old, and `respond` says so."""
        try:
            self._cache.refresh_ahead()
        except Exception as error:  # noqa: BLE001  (nobody waits for it)
            log.warning("ocsp_log_not_asked", error=type(error).__name__)
        finally:
            self._is_asking = False

    def respond(self, request_der: bytes) -> OcspAnswer:
        """The answer to untrusted octets; never raises.

        malformedRequest: not an OCSPRequest, or over a bound. unauthorized: an issuer that is none of ours, or several.
        tryLater: the database or a responder's key cannot be asked now. unknown: a serial never issued. internalError:
        a fault of ours, which is logged.
        """
        try:
            return self._answer(request_der)
        except OcspRequestMalformed:
            return _MALFORMED
        except OcspRequestForeign:
            return _UNAUTHORIZED
        except (ResponderMissing, Unavailable, KeyStoreError):
            return _TRY_LATER
        except Exception as error:  # noqa: BLE001  (whatever it is, a client hears it as OCSP: RFC 6960 s2.3)
            return self.failed(error)

    def failed(self, error: Exception) -> OcspAnswer:
        """The answer where a request could not be worked on; the error is logged."""
        if isinstance(error, Unavailable):
            return _TRY_LATER
        if isinstance(error, DatabaseRefused):
            log.error("ocsp_refused_by_database", detail=error.detail)
            return _INTERNAL_ERROR
        log.error("ocsp_failed", error=type(error).__name__, exc_info=error)
        return _INTERNAL_ERROR

    def malformed(self) -> OcspAnswer:
        """The answer to a request whose octets could not even be had."""
        return _MALFORMED

    def _answer(self, request_der: bytes) -> SignedAnswer:
        known_head = self._cache.refresh()
        now = self._clock()
        kept = self._cache.find(request_der, now)
        if kept is not None:
            return kept
        request = parse_ocsp_request(
            request_der,
            max_bytes=self._settings.max_request_bytes,
            max_certificates=self._settings.max_certificates,
        )
        answer = self._presigned_or_signed(self._authority(request), request, now)
        if answer.cache_seconds is not None:
            self._cache.keep(request_der, answer, known_head=known_head)
        return answer

    def _presigned_or_signed(self, authority: Authority, request: OcspRequest, now: datetime) -> SignedAnswer:
        responder = self._responders.current(authority.id)
        is_presigned = self._settings.presign and request.nonce is None and len(request.cert_ids) == 1
        with self._database.read() as tx:
            asked = self.presigned.ask(tx, request.cert_ids[0]) if is_presigned else None
            found = self._signer.find_all(tx, authority, request.cert_ids, now)
            stored = None if asked is None else asked()
        if stored is not None:
            presigned = self.presigned.holds(stored, found[0], responder, now)
            if presigned is not None:
                return presigned
        answer = self._signer.sign(responder, found, now, nonce=request.nonce)
        if is_presigned:
            self.presigned.note(request.cert_ids[0], authority, found[0], responder, answer)
        return answer

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
