"""The signer's port as processes of their own: who is let in, what is signed, and what a kill or a restart costs."""

import json
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select

from ca_core.audit.store import events
from ca_core.authorities.errors import AuthorityNotFound
from ca_core.cards.model import CardSlot, CardState
from ca_core.issuance.checkpoint import Step
from ca_core.issuance.errors import PossessionNotProven, RequestIdReused, RequestMalformed
from ca_core.issuance.model import IssuedCertificate
from ca_core.issuance.store import certificates
from ca_core.kernel.database import Statement
from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.rng import random_token, system_rng
from ca_core.kernel.settings import Role, load_settings
from ca_core.registration.model import Gender, Person
from ca_core.revocation.model import RevocationReason
from ca_core.signer.callers import CallerRegister
from ca_core.signer.client import Patience, RemoteIssuance, RemoteLists, SignerClient, key_states
from ca_core.signer.errors import (
    CallerUnknown,
    EvidenceMissing,
    OperationNotAllowed,
    SignerUnavailable,
)
from ca_core.signer.model import CallerRole, Grant, Operation
from ca_core.signer.tls import server_context
from ca_core.signer.wire import IssueBody, NothingBody, RecoveryAnswer, RequestBody
from ca_core.status.model import CrlKind
from idp.commands.internal import InternalRole, write_internal_certificate
from idp.demo.software_card import SoftwareStation
from idp.main.authority import CertificationAuthority
from idp.main.signer import signer_server_options, signer_service
from support.pki import certification_request, citizen_request, new_key
from support.signer_deployment import AUTHORITY, Deployment, foreign_files, write_pair

OPERATOR = "operator:7"
CODES = Statement(select(events.c.name, events.c.actor, events.c.detail).order_by(events.c.id))


@pytest.fixture(scope="module")
def deployment(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment(tmp_path_factory.mktemp("deployment"))
    made.found(sqlite_template)
    made.start("ca")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _closed_connections(deployment: Deployment) -> Iterator[None]:
    yield
    deployment.close_clients()


def fresh() -> str:
    """A request id of its own."""
    return f"test:{random_token(system_rng, 9)}"


def count_certificates(deployment: Deployment) -> int:
    with deployment.opened("worker") as ca, ca.database.read() as tx:
        return len(tx.all(Statement(select(certificates.c.id))))


def refusals(deployment: Deployment) -> list[tuple[str, str]]:
    """Actor and code of every refusal of the port on record, oldest first."""
    with deployment.opened("worker") as ca, ca.database.read() as tx:
        rows = tx.all(CODES)
    return [(actor, json.loads(detail)["code"]) for name, actor, detail in rows if name == "signer.refused"]


def recover(client: SignerClient) -> RecoveryAnswer:
    return client.ask(Operation.RECOVER, NothingBody(), RecoveryAnswer)


def a_person(deployment: Deployment) -> Person:
    with deployment.opened("admin") as admin:
        return admin.registration().register(
            national_id="A123456789",
            name="王小明",
            birthdate=date(1990, 2, 28),
            gender=Gender.MALE,
            actor=OPERATOR,
        )


# Who is let in


def test_no_client_certificate(deployment: Deployment) -> None:
    context = ssl.create_default_context(cafile=deployment.tls / "root.pem")
    with (
        httpx2.Client(verify=context, trust_env=False) as client,
        pytest.raises(httpx2.TransportError),
    ):
        client.get(f"{deployment.url()}/healthz", extensions={"sni_hostname": "ca.citizenid.internal"})


def test_nothing_older_than_tls_1_3(deployment: Deployment) -> None:
    context = ssl.create_default_context(cafile=deployment.tls / "root.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(deployment.tls / "worker.pem", deployment.tls / "worker-key.pem")
    with httpx2.Client(verify=context, trust_env=False) as client, pytest.raises(httpx2.TransportError):
        client.get(f"{deployment.url()}/healthz", extensions={"sni_hostname": "ca.citizenid.internal"})


def test_a_foreign_certificate_with_the_very_same_names(deployment: Deployment, tmp_path: Path) -> None:
    files = foreign_files(deployment, tmp_path / "foreign")
    with pytest.raises(SignerUnavailable):
        recover(deployment.client("worker", files=files))


def test_a_certificate_that_has_ended(deployment: Deployment) -> None:
    with pytest.raises(SignerUnavailable):
        recover(deployment.client("worker", files=deployment.files("worker", deployment.folder / "ended")))


def test_the_right_authority_and_a_role_that_may_do_something_else(deployment: Deployment) -> None:
    with pytest.raises(OperationNotAllowed):
        recover(deployment.client("va"))
    assert refusals(deployment)[-1] == ("system:va", "signer_operation_not_allowed")


@pytest.mark.parametrize("role", ["mobile", "ca"])
def test_a_role_that_is_not_on_the_list(deployment: Deployment, role: str) -> None:
    with pytest.raises(CallerUnknown):
        recover(deployment.client(role))
    assert refusals(deployment)[-1] == ("anonymous", "signer_caller_unknown")


def test_a_citizens_certificate_is_nobodys_here(deployment: Deployment, tmp_path: Path) -> None:
    key = new_key()
    with deployment.opened("all") as ca:
        request = citizen_request(fresh(), key=key, card_number="1000000000000001")
        issued = ca.issuance.issue(request).certificate
    chain = issued.public_bytes(Encoding.PEM)
    chain += (deployment.tls / "worker.pem").read_bytes().partition(b"-----END CERTIFICATE-----\n")[2]
    write_pair(tmp_path, "worker", chain, key)
    with pytest.raises(CallerUnknown):
        recover(deployment.client("worker", files=deployment.files("worker", tmp_path)))


def test_a_revoked_role_is_out_at_once_on_its_open_connection(deployment: Deployment, tmp_path: Path) -> None:
    with deployment.opened("all") as ca:
        issued = write_internal_certificate(
            ca, InternalRole.WORKER, tmp_path, authority=AUTHORITY, actor="operator:ceremony"
        )
    client = deployment.client("worker", files=deployment.files("worker", tmp_path))
    recover(client)
    with deployment.opened("worker") as ca:
        ca.revocation.revoke(issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, OPERATOR)
    with pytest.raises(CallerUnknown):
        recover(client)


def test_the_server_must_be_the_signer(deployment: Deployment) -> None:
    """Another role's certificate, good as it is, at the signer's own address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        context = server_context(deployment.files("worker"))
        client = SignerClient(
            f"https://localhost:{listening.getsockname()[1]}", deployment.files("worker"), Patience(total_s=0)
        )

        def shake_hands() -> None:
            connection, _ = listening.accept()
            with connection, suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)

        with ThreadPoolExecutor(1) as impostor:
            impostor.submit(shake_hands)
            with pytest.raises(SignerUnavailable, match="certificate"):
                recover(client)
            client.close()


# What is served


@pytest.mark.parametrize(
    "path", ["/", "/ca/v1", "/ca/v1/revoke", "/pki/ocsp", "/pki/log/checkpoint", "/authorize", "/docs"]
)
def test_nothing_else_is_served(deployment: Deployment, path: str) -> None:
    assert deployment.raw("worker", method="POST", url=path, content=b"{}").status_code == 404


def test_health_on_the_same_port(deployment: Deployment) -> None:
    assert deployment.raw("va", method="GET", url="/healthz").text == "ok\n"
    assert deployment.raw("va", method="GET", url="/readyz").json() == {"ready": True, "database": "ok", "keys": "ok"}
    assert "citizenid_authority_not_after_timestamp_seconds" in deployment.raw("va", method="GET", url="/metrics").text
    assert key_states(deployment.client("va")) == {"root-g1": "ok", AUTHORITY: "ok"}


def body_of(deployment: Deployment, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - wrong on purpose
    body = IssueBody.model_construct(request=RequestBody.of(deployment.renewal("worker", fresh())))
    good: dict[str, Any] = json.loads(body.model_dump_json())
    good["request"] |= changes
    return good


@pytest.mark.parametrize(
    "changes",
    [
        {"public_key": "AAAA"},
        {"public_key": "not base64!"},
        {"public_key": "A" * 20_000},
        {"csr": "MAA="},
        {"dns_names": ["x"] * 33},
        {"subject_name": "MAA="},
        {"request_id": 7},
        {"request_id": "x" * 257},
        {"profile": None},
        {"unknown": 1},
        {"card_number": "1\x002"},
        {"request_id": "a\x00"},
    ],
)
def test_malformed_members(deployment: Deployment, changes: dict[str, Any]) -> None:
    before = count_certificates(deployment)
    answer = deployment.raw("worker", method="POST", url="/ca/v1/issue", json=body_of(deployment, **changes))
    assert (answer.status_code, answer.json()["code"]) == (400, "signer_request_malformed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert count_certificates(deployment) == before


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"[]", 400, "malformed_json"),
        (b"\xff\xfe{}", 400, "malformed_json"),
        (b'{"request": 1, "request": 2}', 400, "malformed_json"),
        (b'{"a":' * 50 + b"1" + b"}" * 50, 400, "malformed_json"),
        (b"{}", 400, "signer_request_malformed"),
        (b'{"request": ' + b" " * 70_000 + b"{}}", 413, "body_too_large"),
    ],
)
def test_malformed_and_oversized_bodies(deployment: Deployment, content: bytes, status: int, code: str) -> None:
    answer = deployment.raw("worker", method="POST", url="/ca/v1/issue", content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_batch_is_bounded(deployment: Deployment) -> None:
    one = body_of(deployment)["request"]
    answer = deployment.raw("admin", method="POST", url="/ca/v1/issue-many", json={"requests": [one] * 513})
    assert (answer.status_code, answer.json()["code"]) == (400, "signer_request_malformed")


# What is signed, and on what evidence


def test_a_role_renews_its_own_certificate_and_no_other(deployment: Deployment) -> None:
    issuance = RemoteIssuance(deployment.client("worker"))
    own = deployment.renewal("worker", fresh())
    issued = issuance.issue(own)
    assert issuance.issue(own) == issued
    before = count_certificates(deployment)
    others = deployment.renewal("va", fresh())
    for request in (
        others,
        replace(others, actor="system:worker"),
        replace(
            deployment.renewal("worker", fresh()), dns_names=("worker.citizenid.internal", "ca.citizenid.internal")
        ),
        replace(deployment.renewal("worker", fresh()), csr=None),
        replace(deployment.renewal("worker", fresh()), actor=OPERATOR),
    ):
        with pytest.raises(EvidenceMissing):
            issuance.issue(request)
        assert refusals(deployment)[-1] == ("system:worker", "signer_evidence_missing")
    assert count_certificates(deployment) == before


def test_a_request_id_stands_for_one_content(deployment: Deployment) -> None:
    issuance = RemoteIssuance(deployment.client("worker"))
    request_id = fresh()
    issuance.issue(deployment.renewal("worker", request_id))
    before = count_certificates(deployment)
    with pytest.raises(RequestIdReused):
        issuance.issue(deployment.renewal("worker", request_id))
    assert count_certificates(deployment) == before


def test_refusals_of_issuance_come_back_as_they_are(deployment: Deployment) -> None:
    issuance = RemoteIssuance(deployment.client("worker"))
    request = deployment.renewal("worker", fresh())
    with pytest.raises(PossessionNotProven):
        issuance.issue(replace(request, csr=certification_request(new_key())))
    with pytest.raises(AuthorityNotFound):
        issuance.issue(replace(request, authority="citizen-g9"))
    with pytest.raises(RequestMalformed):
        issuance.issue(replace(request, person_id="somebody"))


@pytest.mark.parametrize("profile", ["issuing-ca", "root-ca", "no-such-profile"])
def test_authorities_are_never_made_over_the_port(deployment: Deployment, profile: str) -> None:
    request = replace(deployment.renewal("worker", fresh()), profile=profile)
    with pytest.raises(EvidenceMissing):
        RemoteIssuance(deployment.client("worker")).issue(request)


def test_no_responder_without_its_order(deployment: Deployment) -> None:
    request = replace(
        deployment.renewal("va", "ocsp-citizen-g1-000000000000"),
        profile="ocsp-responder",
        common_name=f"OCSP Responder {AUTHORITY}",
        dns_names=(),
    )
    with pytest.raises(EvidenceMissing):
        RemoteIssuance(deployment.client("va")).issue(request)


def test_a_card_is_personalised_without_any_ca_key(deployment: Deployment) -> None:
    person = a_person(deployment)
    with deployment.opened("admin") as admin:
        card = admin.cards().personalise(person.id, SoftwareStation(), pin="482913", puk="71934480", actor=OPERATOR)
        with admin.database.read() as tx:
            made = admin.certificates.by_card(tx, card.card_number)
    assert card.state is CardState.ISSUED
    assert {one.profile for one in made} == {"citizen-authentication", "citizen-signature", "citizen-encryption"}
    before = count_certificates(deployment)
    issuance = RemoteIssuance(deployment.client("admin"))
    again = citizen_request(
        f"card:{card.card_number}:{CardSlot.SIGNATURE.value}",
        profile="citizen-signature",
        common_name=person.name,
        subject_serial_number=person.subject_serial_number,
        person_id=person.id,
        card_number=card.card_number,
        actor=OPERATOR,
    )
    strangers = replace(again, request_id=fresh(), card_number="1000000000000009")
    for request in (again, strangers):  # the card is issued; that card never began
        with pytest.raises(EvidenceMissing):
            issuance.issue(request)
    many = issuance.issue_many([again, strangers, deployment.renewal("admin", fresh())])
    assert [type(one) for one in many] == [EvidenceMissing, EvidenceMissing, IssuedCertificate]
    assert count_certificates(deployment) == before + 1


def test_the_worker_has_lists_published(deployment: Deployment) -> None:
    lists = RemoteLists(deployment.client("worker"))
    lists.publish_due()
    assert lists.publish_due() == []
    record = lists.publish(AUTHORITY)
    assert record.kind is CrlKind.COMPLETE
    with deployment.opened("worker") as ca:
        latest = ca.crl_archive.latest_record(AUTHORITY)
    assert latest is not None and latest.number == record.number
    with pytest.raises(AuthorityNotFound):
        lists.publish("citizen-g9")


# What a kill and a restart cost


@pytest.mark.parametrize("step", [Step.INTENT_RECORDED, Step.SIGNED, Step.RECORDED])
def test_a_kill_in_the_middle_gives_exactly_one_certificate(deployment: Deployment, step: Step) -> None:
    client = deployment.client("worker", patience=Patience(total_s=60))
    request = deployment.renewal("worker", fresh())
    recover(client)
    deployment.marker.write_text(step.value)
    with ThreadPoolExecutor(1) as asking:
        asked = asking.submit(RemoteIssuance(client).issue, request)
        assert deployment.processes["ca"].wait(30) == -9
        deployment.start("ca")
        issued = asked.result(60)
    with deployment.opened("worker") as ca, ca.database.read() as tx:
        rows = tx.all(Statement(select(certificates.c.id).where(certificates.c.request_id == request.request_id)))
    assert [row[0] for row in rows] == [issued.certificate_id]
    assert RemoteIssuance(client).issue(request) == issued


def test_the_client_goes_on_after_a_restart_and_says_so_meanwhile(deployment: Deployment) -> None:
    client = deployment.client("worker")
    recover(client)
    deployment.stop("ca")
    with pytest.raises(SignerUnavailable):
        recover(client)
    deployment.start("ca")
    recover(client)


# The list itself


def test_a_pinned_key(deployment: Deployment) -> None:
    certificate = x509.load_pem_x509_certificate((deployment.tls / "worker.pem").read_bytes())
    pin = sha256(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    with deployment.opened("all") as ca:

        def register(*pins: str) -> CallerRegister:
            grant = Grant(operations=frozenset({Operation.KEYS}), key_pins=frozenset(pins))
            return CallerRegister(
                database=ca.database,
                authorities=ca.registry,
                certificates=ca.certificates,
                status=ca.status,
                clock=ca.clock,
                authority=AUTHORITY,
                grants={CallerRole.WORKER: grant},
            )

        assert register(pin).verify(certificate).role is CallerRole.WORKER
        assert register("0" * 64, pin).verify(certificate).role is CallerRole.WORKER
        with pytest.raises(CallerUnknown):
            register("0" * 64).verify(certificate)


def test_an_operation_that_does_not_exist_stops_the_start(deployment: Deployment) -> None:
    settings = load_settings(
        deployment.config("ca"), role=Role.CA, ca_port={"clients": {"va": {"operations": ["issue", "sign-anything"]}}}
    )
    ca = CertificationAuthority(settings)
    try:
        with pytest.raises(ConfigurationError, match="sign-anything"):
            signer_service(ca)
    finally:
        ca.close()


def test_a_key_file_that_others_may_read_stops_the_start(deployment: Deployment, tmp_path: Path) -> None:
    open_to_all = tmp_path / "key.pem"
    open_to_all.write_bytes((deployment.tls / "ca-key.pem").read_bytes())
    open_to_all.chmod(0o644)
    settings = load_settings(deployment.config("ca"), role=Role.CA, ca_port={"key_file": str(open_to_all)})
    with pytest.raises(ConfigurationError, match="others may read"):
        signer_server_options(settings)
