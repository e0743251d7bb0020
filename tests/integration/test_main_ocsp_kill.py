"""`citizenid serve` killed while it answers OCSP under load and revocations come in: what it answers next is right."""

import signal
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus
from sqlalchemy import select

from ca_core.issuance import IssuedCertificate
from ca_core.kernel.database import Statement
from ca_core.kernel.rng import system_rng
from ca_core.revocation import RevocationReason
from ca_core.status import ocsp_store
from idp.demo.founding import found_provider_keys
from idp.main.authority import CertificationAuthority
from support.ocsp_requests import ocsp_request
from support.pki import citizen_request
from support.postgresql import PostgresqlServer
from support.processes import start, stop_group, wait_until
from support.signer_deployment import AUTHORITY, Deployment
from support.tables import create_tables

CITIZENID = Path(sys.executable).with_name("citizenid")
ANSWERS = Statement(select(ocsp_store.answers.c.serial, ocsp_store.answers.c.changed, ocsp_store.answers.c.der))
ACTOR = "operator:7"
GOOD, REVOKED = OCSPCertStatus.GOOD, OCSPCertStatus.REVOKED
MANY = 40


@dataclass(frozen=True)
class Answer:
    serial: int
    status: OCSPCertStatus
    asked: float
    answered: float


@dataclass
class Country:
    """A deployment; its authority's services in this process, which revoke while another process answers."""

    deployment: Deployment
    ca: CertificationAuthority
    made: int = 0
    answers: list[Answer] = field(default_factory=list)

    def issue(self) -> list[IssuedCertificate]:
        requests = []
        for _ in range(MANY):
            self.made += 1
            number = f"{self.made:016d}"
            requests.append(citizen_request(f"request-{self.made}", card_number=number, person_id=f"person-{number}"))
        outcomes = self.ca.issuance.issue_many(requests)
        issued = [one for one in outcomes if isinstance(one, IssuedCertificate)]
        assert len(issued) == MANY
        return issued

    def revoke(self, issued: IssuedCertificate) -> float:
        """The moment at which it was acknowledged."""
        self.ca.revocation.revoke(issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR)
        return time.monotonic()

    def ask(self, http: httpx2.Client, issued: IssuedCertificate, *, by_get: bool = False) -> Answer:
        authority = self.ca.registry.by_slug(AUTHORITY)
        request, asked = ocsp_request(issued, authority), time.monotonic()
        if by_get:
            answer = http.get(f"/pki/ocsp/{quote(b64encode(request), safe='')}")
        else:
            answer = http.post("/pki/ocsp", content=request)
        answered, response = time.monotonic(), ocsp.load_der_ocsp_response(answer.content)
        response.certificates[0].verify_directly_issued_by(authority.certificate)
        assert response.serial_number == issued.serial
        return Answer(issued.serial, response.certificate_status, asked, answered)

    def load(self, url: str, several: list[IssuedCertificate], until: threading.Event) -> None:
        """Asks about one after the other until the server is gone."""
        with httpx2.Client(base_url=url, trust_env=False, timeout=10) as http, suppress(httpx2.TransportError):
            while not until.is_set():
                for issued in several:
                    self.answers.append(self.ask(http, issued))

    def verify_rows(self) -> None:
        """Whole answers alone, each saying what its change was."""
        with self.ca.database.read() as tx:
            rows = tx.all(ANSWERS)
        for serial, changed, der in rows:
            response = ocsp.load_der_ocsp_response(bytes(der))
            key, algorithm = response.certificates[0].public_key(), response.signature_hash_algorithm
            assert isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
            assert (response.serial_number, response.certificate_status) == (
                int(serial, 16),
                REVOKED if changed else GOOD,
            )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def country(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Country]:
    deployment = Deployment(tmp_path_factory.mktemp("ocsp-kill"))
    if request.param == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        deployment.own_database_url = server.create_database("ocsp_kill")
        create_tables(deployment.own_database_url)
    deployment.found(sqlite_template, internal=False)
    va = deployment.config("va")
    va.write_text(va.read_text().replace("keys-va", "keys-ca"))  # where this process makes the responders' keys
    with deployment.opened("all") as ca:
        found_provider_keys(ca)
        ca.ensure_responders()
        ca.crls.publish_due()
        yield Country(deployment, ca)


def serve(country: Country, role: str) -> tuple[str, "Served"]:
    config = "va" if role == "va" else "ca"
    url = f"http://127.0.0.1:{country.deployment.ports[config]}"
    return url, Served(country, role, config, url)


class Served:
    """The role as a process of its own, which answers once the block has begun."""

    def __init__(self, country: Country, role: str, config: str, url: str) -> None:
        self._log = country.deployment.folder / f"{role}.log"
        self._command = [CITIZENID, "serve", "--role", role, "--behind-proxy"]
        self._command += ["--config", country.deployment.config(config)]
        self._url = url

    def __enter__(self) -> "Served":
        self._process = start(self._command, log=self._log)
        wait_until(self._answers, what="citizenid serve", process=self._process, log=self._log, timeout_s=60)
        return self

    def __exit__(self, *_: object) -> None:
        stop_group(self._process)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait(10) == -signal.SIGKILL

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self._url}/healthz", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False


@pytest.mark.parametrize("role", ["va", "all"])
def test_kill_9_under_load(country: Country, role: str) -> None:
    several = country.issue()
    country.answers.clear()
    revoked: dict[int, float] = {}
    url, served = serve(country, role)
    lasts_s = 0.3 + int.from_bytes(system_rng(2), "big") / 65_536 * 2  # a turn of the job comes every two seconds
    with served:
        stop = threading.Event()
        with ThreadPoolExecutor(2) as clients:
            loads = [clients.submit(country.load, url, ordered, stop) for ordered in (several, several[::-1])]
            try:
                wait_until(lambda: len(country.answers) > MANY, what="the load", timeout_s=60)
                begun = time.monotonic()
                for issued in several[: MANY // 2]:
                    revoked[issued.serial] = country.revoke(issued)
                    if time.monotonic() - begun > lasts_s:
                        break
                    time.sleep(lasts_s / MANY)
                served.kill()
            finally:
                stop.set()
        for load in loads:
            load.result()
    verify_order(country.answers, revoked)
    country.verify_rows()
    for issued in several[MANY // 2 : MANY // 2 + 5]:
        revoked[issued.serial] = country.revoke(issued)  # while nobody looks
    url, served = serve(country, role)
    with served, httpx2.Client(base_url=url, trust_env=False) as http:
        for issued in several:
            for by_get in (False, True):
                answer = country.ask(http, issued, by_get=by_get)
                assert answer.status is (REVOKED if issued.serial in revoked else GOOD), (lasts_s, by_get)
    country.verify_rows()


def verify_order(answers: list[Answer], revoked: dict[int, float]) -> None:
    """Nothing older than what was said before, nor than what was acknowledged a second ago."""
    first: dict[int, float] = {}
    for answer in answers:
        if answer.status is REVOKED:
            assert answer.serial in revoked
            first[answer.serial] = min(answer.answered, first.get(answer.serial, answer.answered))
    for answer in answers:
        if answer.status is GOOD and answer.serial in revoked:
            assert answer.asked <= revoked[answer.serial] + 1
            assert answer.asked <= first.get(answer.serial, answer.asked)
