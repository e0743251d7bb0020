"""The other roles' end of the port: what they would call in one process, asked for over the network.

Repeating is safe because requests are idempotent by request_id: the client goes on asking through a restart of the
signer, until its patience ends, and gets the one certificate. Only a list that is asked for by name is asked for once.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from ca_core.issuance.model import IssuanceRequest, IssuedCertificate, LintMode
from ca_core.kernel.errors import DomainError, Unavailable
from ca_core.kernel.web.body import parse_json_object
from ca_core.kernel.web.errors import RequestError
from ca_core.keys.model import spki_octets
from ca_core.signer.errors import SignerFault, SignerUnavailable
from ca_core.signer.failures import error_of
from ca_core.signer.model import MAX_BATCH, SIGNER_NAME, CrlWanted, Operation, RecoverySummary, path_of
from ca_core.signer.tls import TlsFiles, client_context
from ca_core.signer.wire import (
    CrlBody,
    CrlsAnswer,
    IssueAnswer,
    IssueBody,
    IssueManyAnswer,
    IssueManyBody,
    KeysAnswer,
    NothingBody,
    Outcome,
    RecoveryAnswer,
    RequestBody,
)
from ca_core.status.model import CrlRecord

Answer = TypeVar("Answer", bound=BaseModel)
_MAX_ANSWER_BYTES = 16 * 1_048_576
_CONNECT_S = 5.0
_TIMEOUTS_S = {
    Operation.ISSUE: 30.0,
    Operation.ISSUE_MANY: 120.0,
    Operation.PUBLISH_CRL: 600.0,
    Operation.PUBLISH_DUE: 600.0,
    Operation.RECOVER: 600.0,
    Operation.KEYS: 30.0,
}
_ASKED_ONCE = frozenset({Operation.PUBLISH_CRL})
"""Each answer to these is a new list: repeated only where nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a request is repeated, and how long the pauses are at first and at most."""

    total_s: float = 20.0
    first_pause_s: float = 0.1
    longest_pause_s: float = 2.0


@dataclass
class SignerClient:
    """Connections to the port at `url` ("https://host:port"). Safe among threads.

    The server must prove that it is the signer by its role's name, whatever its host is called. Certificate files that
    were replaced are taken up without a restart.
    """

    url: str
    files: TlsFiles
    patience: Patience = Patience()
    pause: Callable[[float], None] = time.sleep
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _connections: httpx2.Client | None = None
    _stamp: tuple[int, ...] = ()

    def ask(self, operation: Operation, body: BaseModel, kind: type[Answer]) -> Answer:
        """The signer's answer. Raises: what the operation raises there; SignerUnavailable; SignerFault."""
        octets = body.model_dump_json().encode()
        until = time.monotonic() + self.patience.total_s
        pause_s = self.patience.first_pause_s
        while True:
            try:
                return self._ask_once(operation, octets, kind)
            except Unavailable as error:
                unsent = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
                if (operation in _ASKED_ONCE and not unsent) or time.monotonic() + pause_s > until:
                    raise
            self.pause(pause_s)
            pause_s = min(2 * pause_s, self.patience.longest_pause_s)

    def close(self) -> None:
        """Ends its connections; the next request opens others."""
        with self._lock:
            connections, self._connections = self._connections, None
        if connections is not None:
            connections.close()

    def _ask_once(self, operation: Operation, octets: bytes, kind: type[Answer]) -> Answer:
        timeout = httpx2.Timeout(_TIMEOUTS_S[operation], connect=_CONNECT_S)
        try:
            with self._open().stream(
                "POST",
                path_of(operation),
                content=octets,
                headers={"content-type": "application/json"},
                timeout=timeout,
                extensions={"sni_hostname": SIGNER_NAME},
            ) as response:
                answer = b""
                for chunk in response.iter_bytes():
                    answer += chunk
                    if len(answer) > _MAX_ANSWER_BYTES:
                        raise SignerFault(f"{operation}: an answer of more than {_MAX_ANSWER_BYTES} octets")
                status, reference = response.status_code, response.headers.get("x-request-id", "")
        except httpx2.TransportError as error:
            raise SignerUnavailable(f"{operation}: {type(error).__name__}: {error}") from error
        if status != 200:
            raise _refusal(answer, f"{operation}: signer's request {reference[:64]}")
        try:
            return kind.model_validate(parse_json_object(answer))
        except (ValidationError, RequestError) as error:
            raise SignerFault(f"{operation}: an answer that cannot be read") from error

    def _open(self) -> httpx2.Client:
        stamp = tuple(_modified(path) for path in (self.files.certificate, self.files.key, self.files.trusted))
        with self._lock:
            if self._connections is None or stamp != self._stamp:
                self._connections = httpx2.Client(
                    base_url=self.url, verify=client_context(self.files), trust_env=False, follow_redirects=False
                )
                self._stamp = stamp
            return self._connections


class RemoteIssuance:
    """`IssuanceService` for a process without any CA key."""

    def __init__(self, client: SignerClient) -> None:
        self._client = client

    def issue(self, request: IssuanceRequest) -> IssuedCertificate:
        """As `IssuanceService.issue`. Raises also: SignerUnavailable (it may have been issued: ask again)."""
        body = IssueBody.model_construct(request=RequestBody.of(request))
        answer = self._client.ask(Operation.ISSUE, body, IssueAnswer)
        return _verified(request, Outcome(certificate=answer.certificate))

    def issue_many(
        self, requests: Sequence[IssuanceRequest], *, lint: LintMode = LintMode.EVERY
    ) -> list[IssuedCertificate | DomainError]:
        """As `IssuanceService.issue_many`, in requests of a bounded number."""
        outcomes: list[IssuedCertificate | DomainError] = []
        for start in range(0, len(requests), MAX_BATCH):
            part = requests[start : start + MAX_BATCH]
            body = IssueManyBody.model_construct(requests=tuple(RequestBody.of(one) for one in part), lint=lint)
            answer = self._client.ask(Operation.ISSUE_MANY, body, IssueManyAnswer)
            if len(answer.outcomes) != len(part):
                raise SignerFault("not an outcome for each request")
            for request, outcome in zip(part, answer.outcomes, strict=True):
                try:
                    outcomes.append(_verified(request, outcome))
                except DomainError as error:
                    outcomes.append(error)
        return outcomes

    def recover(self) -> RecoverySummary:
        """As `IssuanceService.recover`, told in numbers."""
        return self._client.ask(Operation.RECOVER, NothingBody(), RecoveryAnswer).to_summary()


class RemoteLists:
    """`CrlService` for a process without any CA key."""

    def __init__(self, client: SignerClient) -> None:
        self._client = client

    def publish(self, authority_slug: str) -> CrlRecord:
        """As `CrlService.publish`."""
        return self._published(authority_slug, CrlWanted.COMPLETE)

    def publish_delta(self, authority_slug: str) -> CrlRecord:
        """As `CrlService.publish_delta`."""
        return self._published(authority_slug, CrlWanted.DELTA)

    def publish_due(self) -> list[CrlRecord]:
        """As `CrlService.publish_due`."""
        answer = self._client.ask(Operation.PUBLISH_DUE, NothingBody(), CrlsAnswer)
        return [record.to_record() for record in answer.published]

    def _published(self, authority_slug: str, wanted: CrlWanted) -> CrlRecord:
        body = CrlBody.model_construct(authority=authority_slug, wanted=wanted)
        answer = self._client.ask(Operation.PUBLISH_CRL, body, CrlsAnswer)
        if len(answer.published) != 1:
            raise SignerFault("not one list")
        return answer.published[0].to_record()


def key_states(client: SignerClient) -> dict[str, str]:
    """Whether each authority's key can sign now: "ok" or an error's code, by slug."""
    return client.ask(Operation.KEYS, NothingBody(), KeysAnswer).keys


def _verified(request: IssuanceRequest, outcome: Outcome) -> IssuedCertificate:
    """The certificate, if it is for what was asked. Raises: the outcome's error; SignerFault."""
    if outcome.certificate is None:
        raise error_of(outcome.error or "", detail="of the signer")
    try:
        issued = outcome.certificate.to_issued()
        same_key = spki_octets(issued.certificate.public_key()) == spki_octets(request.public_key)  # type: ignore[arg-type]  # any key has these octets
    except ValueError as error:
        raise SignerFault("a certificate that cannot be read") from error
    if not same_key or issued.profile != request.profile:
        raise SignerFault("a certificate for another key or profile")
    return issued


def _refusal(octets: bytes, detail: str) -> DomainError:
    try:
        code = parse_json_object(octets).get("code")
    except RequestError:
        code = None
    return error_of(code if isinstance(code, str) else "", detail=detail)


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
