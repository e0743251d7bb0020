"""`citizenid serve --role ca` as a process: mutual TLS from its settings, whatever the number of workers."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from ca_core.signer.client import key_states
from ca_core.signer.model import SIGNER_NAME
from support.processes import run, start, stop_group, wait_until
from support.signer_deployment import AUTHORITY, Deployment

CITIZENID = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "citizenid"


@pytest.fixture(scope="module")
def deployment(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment(tmp_path_factory.mktemp("serve-ca"))
    made.found(sqlite_template)
    yield made
    made.close_clients()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_serves_those_it_knows_and_nobody_else(deployment: Deployment, tmp_path: Path, workers: str) -> None:
    log = tmp_path / "serve.log"
    command = [CITIZENID, "serve", "--role", "ca", "--config", deployment.config("ca"), "--workers", workers]
    process = start(command, log=log)
    try:
        wait_until(lambda: _answers(deployment), what="serve --role ca", process=process, log=log, timeout_s=60)
        assert key_states(deployment.client("worker")) == {"root-g1": "ok", AUTHORITY: "ok"}
        assert deployment.raw("worker", method="GET", url="/readyz").json()["ready"] is True
        nobody = ssl.create_default_context(cafile=deployment.tls / "root.pem")
        with httpx2.Client(base_url=deployment.url(), verify=nobody, trust_env=False) as client:
            with pytest.raises(httpx2.TransportError):
                client.get("/healthz", extensions={"sni_hostname": SIGNER_NAME})
        with httpx2.Client(trust_env=False) as client, pytest.raises(httpx2.TransportError):
            client.get(deployment.url().replace("https:", "http:") + "/healthz")
    finally:
        stop_group(process)


def _answers(deployment: Deployment) -> bool:
    try:
        return deployment.raw("worker", method="GET", url="/healthz").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.parametrize(
    "option", [["--behind-proxy"], ["--certificate", "ca.pem", "--key", "ca-key.pem"], ["--key", "k"]]
)
def test_it_takes_no_transport_from_options(deployment: Deployment, option: list[str]) -> None:
    done = run([CITIZENID, "serve", "--role", "ca", "--config", deployment.config("ca"), *option], check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("configuration_error: the role ca takes its certificate from ca_port")


def test_it_does_not_start_without_its_port(deployment: Deployment, tmp_path: Path) -> None:
    settings = deployment.config("ca").read_text()
    without = "".join(line for line in settings.splitlines(keepends=True) if not line.startswith("ca_port"))
    (tmp_path / "ca.toml").write_text(without)
    done = run([CITIZENID, "serve", "--role", "ca", "--config", tmp_path / "ca.toml"], check=False)
    assert done.returncode == 1
    assert "ca_port" in done.stderr
