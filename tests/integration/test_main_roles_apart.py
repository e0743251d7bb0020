"""Roles in processes of their own, with the signer gone: login and status go on, for neither ever asks it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca_core.cards.model import CardSlot
from ca_core.keys.errors import KeyNotFound
from ca_core.registration.model import Gender
from ca_core.revocation.model import RevocationReason
from ca_core.signer.client import key_states
from ca_core.signer.errors import SignerUnavailable
from ca_core.statement.model import LocalText
from idp.clients.model import ClientRegistration
from idp.clients.service import ClientRegistry
from idp.demo.founding import found_provider_keys
from idp.demo.software_card import SoftwareStation
from support.card_login import Card
from support.outside_login import authorization_request, callback_query, challenge, exchange, present
from support.processes import wait_until
from support.scriptless import ScriptlessBrowser
from support.signer_deployment import AUTHORITY, Deployment

OPERATOR = "operator:7"
CALLBACK = "https://rp.example/callback"


@dataclass(frozen=True)
class Site:
    """What `outside_login` asks of a demo."""

    issuer: str
    registered: dict[str, Any]

    def client(self) -> dict[str, Any]:
        return self.registered


@dataclass(frozen=True)
class Country:
    deployment: Deployment
    site: Site
    card: Card
    certificate: x509.Certificate
    issuer: x509.Certificate

    def status(self) -> ocsp.OCSPResponse:
        builder = ocsp.OCSPRequestBuilder().add_certificate(self.certificate, self.issuer, hashes.SHA256())
        request = builder.build().public_bytes(Encoding.DER)
        answer = httpx2.post(f"{self.deployment.url('va')}/pki/ocsp", content=request, trust_env=False)
        return ocsp.load_der_ocsp_response(answer.content)

    def answers(self) -> bool:
        return self.status().response_status is ocsp.OCSPResponseStatus.SUCCESSFUL


@pytest.fixture(scope="module")
def country(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    """A citizen with a card and a relying party; `va` and `idp` served, `ca` stopped once it had signed."""
    deployment = Deployment(tmp_path_factory.mktemp("apart"))
    try:
        deployment.found(sqlite_template)
        deployment.start("ca")
        station = SoftwareStation()
        with deployment.opened("admin") as admin:
            person = admin.registration().register(
                national_id="A123456789",
                name="王小明",
                birthdate=date(1990, 2, 28),
                gender=Gender.MALE,
                actor=OPERATOR,
            )
            made = admin.cards().personalise(person.id, station, pin="482913", puk="71934480", actor=OPERATOR)
            with admin.database.read() as tx:
                issued = admin.certificates.by_card(tx, made.card_number)
            certificate = next(one.certificate for one in issued if one.profile == "citizen-authentication")
            issuer = admin.registry.by_slug(AUTHORITY).certificate
        card = Card(station.keys[CardSlot.AUTHENTICATION], certificate.public_bytes(Encoding.DER))
        country = Country(deployment, _site(deployment), card, certificate, issuer)
        deployment.start("va")
        wait_until(country.answers, what="a responder's certificate", log=deployment.folder / "va.log")
        deployment.start("idp")
        deployment.stop("ca")
        yield country
    finally:
        deployment.close()


def _site(deployment: Deployment) -> Site:
    with deployment.opened("idp") as idp:
        found_provider_keys(idp)
        asked = ClientRegistration(
            client_id="rp",
            name=LocalText("報稅網站", "Tax site"),
            purpose=LocalText("登入報稅", "Log in to file taxes"),
            redirect_uris=(CALLBACK,),
            scopes=("openid", "profile"),
        )
        registered = ClientRegistry(idp.database, idp.clock, idp.rng, idp.audit).register(asked, actor=OPERATOR)
    secret = {"client_id": "rp", "client_secret": registered.client_secret, "redirect_uris": [CALLBACK]}
    return Site(deployment.url("idp"), secret)


def log_in(country: Country) -> httpx2.Response | dict[str, Any]:
    """The tokens of a whole login with the card, or the answer that refused it."""
    site: Any = country.site
    request = authorization_request(site)
    with ScriptlessBrowser() as browser:
        page = browser.open(request.url, until=CALLBACK)
        nonce = challenge(browser, page)["challenge_nonce"]
        answer = present(browser, page, country.card.token(nonce, origin=page.origin))
        if answer.status != 200:
            return httpx2.Response(answer.status, content=answer.body)
        page = browser.open(urljoin(page.url, answer.json()["location"]), until=CALLBACK)
        if not page.url.startswith(CALLBACK):
            page = browser.submit(page, page.form("consent"), until=CALLBACK, decision="allow")
        assert "code" in callback_query(page.url)
        return exchange(site, request, page.url)


def test_the_roles_hold_no_key_that_is_not_theirs(country: Country) -> None:
    labels = {
        role: sorted(path.stem for path in (country.deployment.folder / f"keys-{role}").iterdir() if path.is_file())
        for role in ("ca", "va", "idp")
    }
    assert [label for label in labels["ca"] if label in ("root-g1", AUTHORITY)] == [AUTHORITY, "root-g1"]
    assert not {"root-g1", AUTHORITY} & {*labels["va"], *labels["idp"]}
    assert all(label.startswith("ocsp-") for label in labels["va"])
    for role in ("va", "idp", "worker", "admin"):
        with country.deployment.opened(role) as ca, pytest.raises(KeyNotFound):
            ca.key_store.private_key(AUTHORITY)


def test_login_and_status_with_the_signer_stopped(country: Country) -> None:
    assert "ca" not in country.deployment.processes
    with pytest.raises(SignerUnavailable):
        key_states(country.deployment.client("worker"))
    assert country.status().certificate_status is ocsp.OCSPCertStatus.GOOD
    tokens = log_in(country)
    assert isinstance(tokens, dict) and tokens["id_token"]
    with country.deployment.opened("worker") as worker:  # revoking needs no CA key either
        authority_id = worker.registry.by_slug(AUTHORITY).id
        serial = country.certificate.serial_number
        worker.revocation.revoke(authority_id, serial, RevocationReason.KEY_COMPROMISE, OPERATOR)
    wait_until(
        lambda: country.status().certificate_status is ocsp.OCSPCertStatus.REVOKED, what="the revocation", timeout_s=2
    )
    refused = log_in(country)
    assert isinstance(refused, httpx2.Response) and refused.json()["code"] == "certificate_revoked"


def test_the_responders_key_is_the_vas_and_its_certificate_the_cas(country: Country) -> None:
    responder = country.status().certificates[0]
    responder.verify_directly_issued_by(country.issuer)
    key = responder.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)


def test_the_worker_serves_nothing_but_its_health_and_waits_for_the_signer(country: Country) -> None:
    country.deployment.start("worker")
    url = country.deployment.url("worker")
    assert httpx2.get(f"{url}/readyz", trust_env=False).json() == {"ready": True, "database": "ok"}
    assert httpx2.post(f"{url}/pki/ocsp", trust_env=False).status_code == 404
    country.deployment.start("ca")

    def is_published() -> bool:
        with country.deployment.opened("worker") as ca:
            return ca.crl_archive.latest_record(AUTHORITY) is not None

    wait_until(is_published, what="a list", log=country.deployment.folder / "worker.log", timeout_s=60)
