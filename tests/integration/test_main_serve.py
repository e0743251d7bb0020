"""`citizenid serve` and the operators' commands, as processes, on both databases."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ca_core.kernel.database import sqlite_url
from idp.bench.model import Country, Plan
from idp.demo.bench_country import found_country
from support.postgresql import PostgresqlServer
from support.processes import free_port, run, start, stop_group, wait_until

CITIZENID = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "citizenid"


@dataclass(frozen=True, slots=True)
class Deployment:
    country: Country
    config: Path

    def command(self, *arguments: str, check: bool = True) -> tuple[int, str, str]:
        done = run([CITIZENID, *arguments, "--config", self.config], check=check)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    folder = tmp_path_factory.mktemp("deployment")
    if request.param == "sqlite":
        url = sqlite_url(folder / "citizenid.db")
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql_server")
        url = server.create_database("serving")
    plan = Plan(folder=folder, database_url=url, port=free_port(), citizens=1, workers=1)
    return Deployment(country=found_country(plan), config=folder / "citizenid.toml")


@pytest.fixture(scope="module")
def served(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("log") / "serve.log"
    process = start([CITIZENID, "serve", "--config", deployment.config, "--workers", "2"], log=log)
    issuer = deployment.country.registration.issuer
    try:
        wait_until(lambda: _answers(f"{issuer}/healthz"), what="citizenid serve", process=process, log=log)
        yield issuer
    finally:
        stop_group(process)


def test_it_is_alive_and_ready_with_each_dependency_named(served: str) -> None:
    assert httpx2.get(f"{served}/healthz").text == "ok\n"
    ready = httpx2.get(f"{served}/readyz")
    assert ready.status_code == 200
    assert ready.json()["ready"] is True
    assert ready.json()["database"] == "ok"


def test_metrics_say_what_must_not_run_out_and_how_the_jobs_are(served: str, deployment: Deployment) -> None:
    _, listed, _ = deployment.command("ca", "list", "--json")
    ends = {row["slug"]: datetime.fromisoformat(row["not_after"]).timestamp() for row in json.loads(listed)}
    issuing = next(row["slug"] for row in json.loads(listed) if row["role"] == "issuing")
    wait_until(lambda: ("citizenid_job_turns_total", "crl", "ok") in _figures(served), what="the first turn of a job")
    wait_until(
        lambda: ("citizenid_crl_number", issuing, "complete") in _figures(served), what="the first revocation list"
    )
    figures, now = _figures(served), time.time()
    for slug, end in ends.items():
        assert figures["citizenid_authority_not_after_timestamp_seconds", slug] == end
    assert figures["citizenid_ocsp_responder_not_after_timestamp_seconds", issuing] > now
    assert figures["citizenid_crl_next_update_timestamp_seconds", issuing, "complete"] > now
    assert figures["citizenid_crl_number", issuing, "complete"] > 2_000_000_000
    assert figures["citizenid_crl_entries", issuing, "complete"] == 0
    assert figures["citizenid_database_up",] == 1
    assert figures["process_cpu_seconds_total",] > 0


def _figures(served: str) -> dict[tuple[str, ...], float]:
    """What Prometheus reads there: by name and the labels' values."""
    answer = httpx2.get(f"{served}/metrics")
    assert answer.status_code == 200
    samples = [one for family in text_string_to_metric_families(answer.text) for one in family.samples]
    return {(one.name, *one.labels.values()): one.value for one in samples}


def test_metadata_and_pki_are_served(served: str, deployment: Deployment) -> None:
    assert httpx2.get(f"{served}/.well-known/openid-configuration").json()["issuer"] == served
    _, listed, _ = deployment.command("ca", "list", "--json")
    for authority in json.loads(listed):
        slug = authority["slug"]
        certificate = httpx2.get(f"{served}/pki/ca/{slug}.cer")
        assert certificate.headers["content-type"] == "application/pkix-cert"
        assert httpx2.get(f"{served}/pki/crl/{slug}.crl").headers["content-type"] == "application/pkix-crl"


def test_an_unknown_page_is_told_in_the_readers_language(served: str) -> None:
    texts = {
        language: httpx2.get(f"{served}/nothing", headers={"Accept": "text/html", "Accept-Language": language})
        for language in ("zh-TW", "en")
    }
    assert {answer.status_code for answer in texts.values()} == {404}
    assert texts["zh-TW"].text != texts["en"].text
    assert '<html lang="zh-TW">' in texts["zh-TW"].text


def test_a_client_is_registered_and_listed(deployment: Deployment) -> None:
    _, out, _ = deployment.command(
        *("client", "add", "--name", "戶政", "--name-en", "Household", "--purpose", "查詢", "--purpose-en", "Look up"),
        *("--redirect-uri", "https://rp.example/cb", "--scope", "openid profile", "--json"),
    )
    made = json.loads(out)
    assert len(made["client_secret"]) >= 43
    _, listed, _ = deployment.command("client", "list", "--json")
    assert made["client_id"] in {client["client_id"] for client in json.loads(listed)}
    assert made["client_secret"] not in listed


def test_a_bad_registration_names_every_fault_and_writes_nothing(deployment: Deployment) -> None:
    _, before, _ = deployment.command("client", "list", "--json")
    status, out, error = deployment.command(
        *("client", "add", "--name", "戶政", "--name-en", "Household", "--purpose", "查詢", "--purpose-en", "Look up"),
        *("--redirect-uri", "http://rp.example/cb#x", "--scope", "profile surplus"),
        check=False,
    )
    assert (status, out) == (1, "")
    assert "fragment" in error
    assert "surplus" in error
    assert "openid is missing" in error
    assert deployment.command("client", "list", "--json")[1] == before


def test_an_unknown_card_is_refused(deployment: Deployment) -> None:
    status, out, error = deployment.command("card", "suspend", "0000000000000000", check=False)
    assert (status, out) == (1, "")
    assert error.startswith("card_not_found")


def test_the_audit_log_verifies(deployment: Deployment) -> None:
    status, _, _ = deployment.command("audit", "verify")
    assert status == 0


def test_settings_are_printed_without_secrets(deployment: Deployment) -> None:
    _, out, _ = deployment.command("check-config")
    shown = json.loads(out)
    assert shown["issuer"] == deployment.country.registration.issuer
    secret = Path(shown["csrf_secret_file"]).read_bytes()
    assert secret.hex() not in out


def test_a_second_server_does_not_take_the_port(served: str, deployment: Deployment) -> None:
    status, _, _ = deployment.command("serve", check=False)
    assert status != 0


def test_a_file_with_faults_reports_all_of_them(deployment: Deployment, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    text = deployment.config.read_text(encoding="utf-8")
    broken.write_text(text.replace("allow_http_localhost = true", "surplus = 1").replace("port = ", "port = -"))
    done = run([CITIZENID, "check-config", "--config", broken], check=False)
    assert done.returncode == 1
    assert {"issuer", "port", "surplus"} <= {line.partition(":")[0] for line in done.stderr.splitlines()} | {
        line.split()[1].rstrip(":") for line in done.stderr.splitlines() if line.startswith("configuration_error")
    }


def test_production_insists_on_https(deployment: Deployment, tmp_path: Path) -> None:
    text = deployment.config.read_text(encoding="utf-8")
    issuer = deployment.country.registration.issuer
    config = tmp_path / "https.toml"
    config.write_text(text.replace(f'issuer = "{issuer}"', 'issuer = "https://id.example"'))
    done = run([CITIZENID, "serve", "--config", config], check=False)
    assert done.returncode == 1
    assert "no TLS certificate" in done.stderr


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False
