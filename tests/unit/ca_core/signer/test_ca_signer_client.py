"""The client's end: what is repeated, what is believed, and that an error is the same one on both sides."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httpx2
import pytest

from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.kernel.errors import DomainError, Unavailable
from ca_core.signer.client import Patience, RemoteIssuance, RemoteLists, SignerClient
from ca_core.signer.errors import SignerFault, SignerUnavailable
from ca_core.signer.failures import STATUSES, error_of, listed
from ca_core.signer.tls import TlsFiles
from ca_core.signer.wire import CertificateBody, IssueAnswer, IssueManyAnswer, Outcome
from support.pki import citizen_request
from support.small_pki import SmallPki, new_key

FILES = TlsFiles(certificate=Path("/c"), key=Path("/k"), trusted=Path("/t"))
Answer = Callable[[httpx2.Request], httpx2.Response]


@dataclass
class ScriptedClient(SignerClient):
    """Answers come from a list, the last one again and again."""

    script: list[Answer] = field(default_factory=list)
    asked: list[httpx2.Request] = field(default_factory=list)

    def _open(self) -> httpx2.Client:
        def answer(request: httpx2.Request) -> httpx2.Response:
            self.asked.append(request)
            return self.script[min(len(self.asked), len(self.script)) - 1](request)

        return httpx2.Client(transport=httpx2.MockTransport(answer), base_url="https://ca")


def client(*script: Answer) -> ScriptedClient:
    return ScriptedClient("https://ca", FILES, Patience(total_s=0.2, first_pause_s=0.001), script=list(script))


def cut_off(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ReadError("connection reset", request=request)


def not_there(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("connection refused", request=request)


def problem(status: int, code: str) -> Answer:
    return lambda _request: httpx2.Response(status, json={"status": status, "code": code})


def answered(octets: str) -> Answer:
    return lambda _request: httpx2.Response(200, content=octets.encode())


def an_issue() -> tuple[IssuanceRequest, str]:
    """A request and the signer's answer to it."""
    pki = SmallPki()
    key = new_key()
    request = citizen_request(key=key)
    issued = pki.issue(pki.g3, request.profile, key=key)
    return request, IssueAnswer(certificate=CertificateBody.of(issued)).model_dump_json()


def test_a_request_is_repeated_with_the_same_octets_until_it_is_answered() -> None:
    request, answer = an_issue()
    scripted = client(not_there, cut_off, problem(503, "temporarily_unavailable"), answered(answer))
    issued = RemoteIssuance(scripted).issue(request)
    assert issued.certificate.public_key() == request.public_key
    assert len(scripted.asked) == 4
    assert len({sent.content for sent in scripted.asked}) == 1


def test_patience_ends() -> None:
    request, _ = an_issue()
    with pytest.raises(SignerUnavailable):
        RemoteIssuance(client(cut_off)).issue(request)
    with pytest.raises(Unavailable):
        RemoteIssuance(client(problem(503, "temporarily_unavailable"))).issue(request)


def test_a_list_is_asked_for_once_unless_nothing_was_sent() -> None:
    cut = client(not_there, not_there, cut_off)
    with pytest.raises(SignerUnavailable):
        RemoteLists(cut).publish("citizen-g3")
    assert len(cut.asked) == 3
    due = client(cut_off, answered('{"published": []}'))
    assert RemoteLists(due).publish_due() == []


@pytest.mark.parametrize("status", [400, 403, 422, 500])
def test_a_refusal_is_not_repeated(status: int) -> None:
    request, _ = an_issue()
    refusing = client(problem(status, "issuance_key_reused"))
    with pytest.raises(DomainError) as refused:
        RemoteIssuance(refusing).issue(request)
    assert refused.value.code == "issuance_key_reused"
    assert len(refusing.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        answered(""),
        answered("[]"),
        answered("{}"),
        answered('{"certificate": {}}'),
        answered("x" * 20_000_000),
        problem(500, "no_such_code"),
        lambda _request: httpx2.Response(502, content=b"<html>"),
        lambda _request: httpx2.Response(302, headers={"location": "https://elsewhere"}),
        answered(an_issue()[1]),  # a good certificate, for another key
    ],
)
def test_what_the_signer_never_answers_is_not_believed(answer: Answer) -> None:
    request, _ = an_issue()
    with pytest.raises(SignerFault):
        RemoteIssuance(client(answer)).issue(request)


def test_a_batch_has_one_outcome_each() -> None:
    request, answer = an_issue()
    certificate = IssueAnswer.model_validate_json(answer, strict=False).certificate
    outcomes = (Outcome(certificate=certificate), Outcome(error="issuance_key_blocked"))
    both = IssueManyAnswer(outcomes=outcomes).model_dump_json()
    first, second = RemoteIssuance(client(answered(both))).issue_many([request, request])
    assert isinstance(first, IssuedCertificate)
    assert cast(DomainError, second).code == "issuance_key_blocked"
    with pytest.raises(SignerFault):
        RemoteIssuance(client(answered(both))).issue_many([request])


@pytest.mark.parametrize("kind", list(STATUSES))
def test_an_error_is_the_same_one_on_both_sides(kind: type[DomainError]) -> None:
    assert listed(kind()) is kind
    assert type(error_of(kind.code, detail="")) is kind


def test_codes_are_each_ones_own() -> None:
    assert len({kind.code for kind in STATUSES}) == len(STATUSES)
    assert listed(DomainError()) is None
    assert type(error_of("", detail="")) is SignerFault
