"""`ca custodians`, `ca lint`, `ca internal-certificate`, `timestamp` and /readyz, over a country's own settings."""

import json
import stat
import sys
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sqlalchemy import text
from typer.testing import CliRunner, Result

from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.authorities.custodians import approval_text
from ca_core.issuance import IssuedCertificate, KeyBlocked
from ca_core.issuance.lint import Linter
from ca_core.issuance.model import LintMode
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import Statement, sqlite_url
from ca_core.kernel.settings import load_settings
from idp.bench.model import Plan
from idp.cli import app
from idp.demo.bench_country import found_country
from idp.main.app import provider_app, validation_authority_app
from idp.main.authority import CertificationAuthority
from idp.main.provider import Provider
from support.asgi import AsgiTransport
from support.pki import ceremony_toml, citizen_request, new_key
from support.processes import free_port, required_program, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca-commands")
    url = sqlite_url(folder / "citizenid.db")
    found_country(Plan(folder=folder, database_url=url, port=free_port(), citizens=1, workers=1))
    return folder


@pytest.fixture
def ca(folder: Path) -> Iterator[CertificationAuthority]:
    opened = CertificationAuthority(load_settings(folder / "citizenid.toml"))
    yield opened
    opened.close()


def command(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(folder / "citizenid.toml")])


def done(folder: Path, *arguments: str) -> str:
    result = command(folder, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(folder: Path, *arguments: str) -> str:
    """The code of the refusal; nothing is on stdout."""
    result = command(folder, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr.split(":")[0].strip()


def later(monkeypatch: pytest.MonkeyPatch, delta: timedelta) -> None:
    """Commands run by a clock that is so far ahead."""
    moved = partial(CertificationAuthority, clock=lambda: system_clock() + delta)
    monkeypatch.setattr("idp.commands.shared.CertificationAuthority", moved)


# Custodians


def test_a_ceremony_is_held_once_enough_custodians_signed_its_text(
    folder: Path, ca: CertificationAuthority, tmp_path: Path
) -> None:
    keys = [new_key() for _ in range(3)]
    lines = ["threshold = 2"]
    for number, key in enumerate(keys):
        (tmp_path / f"{number}.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        lines += ["[[custodians]]", f'name = "Custodian {number}"', f'public_key = """\n{pem}"""']
    custodians, file = tmp_path / "custodians.toml", tmp_path / "g2.toml"
    custodians.write_text("\n".join(lines))
    url = ca.issuance.publication_url
    file.write_text(ceremony_toml(with_root=False, issuing=("citizen-g2",), publication_url=url))
    (tmp_path / "not-signed").write_bytes(b"")

    def sign(number: int) -> str:
        text = CliRunner().invoke(app, ["ca", "custodians", "text", str(file)])
        assert text.stdout.encode() == approval_text(parse_ceremony(file.read_bytes()).digest)
        (tmp_path / "approval.txt").write_text(text.stdout)
        openssl = [required_program("openssl"), "dgst", "-sha256", "-sign", tmp_path / f"{number}.pem"]
        run([*openssl, "-out", tmp_path / f"{number}.sig", tmp_path / "approval.txt"])
        return str(tmp_path / f"{number}.sig")

    assert json.loads(done(folder, "ca", "custodians", "show", "--json")) == []
    said = done(folder, "ca", "custodians", "establish", str(custodians))
    assert said == "2 of 3 custodians approve from now on\n"
    shown = json.loads(done(folder, "ca", "custodians", "show", "--json"))
    assert [(row["name"], row["threshold"]) for row in shown] == [(f"Custodian {number}", 2) for number in range(3)]
    assert refused(folder, "ca", "custodians", "establish", str(file)) == "custodian_set_refused"
    assert refused(folder, "ca", "ceremony", "run", str(file)) == "ceremony_not_approved"
    approve = ("ca", "custodians", "approve", str(file), "--signature")
    assert refused(folder, *approve, str(tmp_path / "not-signed")) == "approval_refused"
    assert refused(folder, *approve, str(tmp_path / "none")) == "approval_refused"
    (tmp_path / "large").write_bytes(b"#" * 1_000_001)
    assert refused(folder, *approve, str(tmp_path / "large")) == "approval_refused"
    for act in (("ceremony", "review"), ("ceremony", "run"), ("custodians", "establish")):
        assert refused(folder, "ca", *act, str(tmp_path / "large")) == "ceremony_refused"
        assert refused(folder, "ca", *act, str(tmp_path / "none")) == "ceremony_refused"
    assert done(folder, *approve, sign(0)).startswith("Custodian 0 approved ")
    assert done(folder, *approve, sign(0)).startswith("Custodian 0 approved ")  # the same one again is one
    assert refused(folder, "ca", "ceremony", "run", str(file)) == "ceremony_not_approved"
    assert done(folder, *approve, sign(2)).startswith("Custodian 2 approved ")
    transcript = done(folder, "ca", "ceremony", "run", str(file))
    assert "Custodian 0" in transcript and "Custodian 2" in transcript and "Custodian 1" not in transcript
    assert "citizen-g2" in [row["slug"] for row in json.loads(done(folder, "ca", "list", "--json"))]


# Linting


def test_what_was_issued_by_template_is_linted_by_command(
    folder: Path, ca: CertificationAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = json.loads(done(folder, "ca", "lint", "state", "--json"))
    requests = [citizen_request(f"lint-{index}", card_number=f"{index:016d}") for index in range(3)]
    outcomes = ca.issuance.issue_many(requests, lint=LintMode.TEMPLATE)
    assert all(isinstance(outcome, IssuedCertificate) for outcome in outcomes)
    (state,) = json.loads(done(folder, "ca", "lint", "state", "--json"))
    assert (state["template"], state["waiting"], state["every"]) == (before["template"] + 3, 3, before["every"])
    assert state["oldest_waiting"] is not None
    assert done(folder, "ca", "lint", "backlog", "--limit", "2") == "2 certificates linted, 0 with findings\n"
    with monkeypatch.context() as patch:
        patch.setattr(Linter, "findings", lambda *_, **__: ["ERROR certificate.x: tests.finding"])
        found = command(folder, "ca", "lint", "backlog")
    assert found.exit_code == 1
    assert "1 certificates linted, 1 with findings\n" in found.stdout
    assert "tests.finding" in found.stdout
    (state,) = json.loads(done(folder, "ca", "lint", "state", "--json"))
    assert (state["waiting"], state["with_findings"]) == (0, 1)


def test_templates_are_linted_by_command(folder: Path) -> None:
    names = done(folder, "ca", "lint", "templates", "citizen-g1").split()
    assert {"citizen-authentication", "citizen-signature", "citizen-encryption", "time-stamping"} <= set(names)
    assert refused(folder, "ca", "lint", "templates", "nobody") == "authority_not_found"


# Internal certificates


def test_a_roles_certificate_is_made_once(folder: Path, tmp_path: Path) -> None:
    name = ("ca", "internal-certificate", "--role", "worker", "--out", str(tmp_path / "tls"))
    assert refused(folder, *name) == "configuration_error"
    said = done(folder, *name, "--authority", "citizen-g1")
    certificate = x509.load_pem_x509_certificates((tmp_path / "tls" / "worker.pem").read_bytes())[0]
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert f"key pin: {sha256(spki).hexdigest()}" in said
    assert stat.S_IMODE((tmp_path / "tls" / "worker-key.pem").stat().st_mode) == 0o600
    chain = [tmp_path / "tls" / "worker.pem", tmp_path / "tls" / "worker.pem"]
    openssl = [required_program("openssl"), "verify", "-x509_strict", "-purpose", "sslclient"]
    run([*openssl, "-CAfile", tmp_path / "tls" / "root.pem", "-untrusted", *chain])
    key = (tmp_path / "tls" / "worker-key.pem").read_bytes()
    assert refused(folder, *name, "--authority", "citizen-g1") == "file_exists"
    assert (tmp_path / "tls" / "worker-key.pem").read_bytes() == key


# Output


def test_what_is_logged_never_stands_among_a_commands_output() -> None:
    program = (
        "import sys, structlog; from idp import cli, entry;"
        " cli.app.command('shout')(lambda: structlog.get_logger().error('aloud')); sys.argv = ['citizenid', 'shout'];"
        " entry.main()"
    )
    said = run([sys.executable, "-c", program])
    assert (said.stdout, "aloud" in said.stderr) == ("", True)


# Time stamps


def test_stamps_are_sealed_and_a_unit_is_renewed_by_command(
    folder: Path, ca: CertificationAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew = ("timestamp", "renew", "--authority", "citizen-g1")
    assert done(folder, *renew) == "not due\n"
    assert done(folder, "timestamp", "seal") == "nothing to seal\n"
    assert ca.timestamp_units is not None
    authority = ca.timestamp_authority(ca.timestamp_units)
    for number in range(2):
        imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": sha256(bytes([number])).digest()}
        asked = tsp.TimeStampReq({"version": "v1", "message_imprint": imprint, "cert_req": True}).dump()
        assert authority.respond(asked).failure is None
    assert done(folder, "timestamp", "seal") == "nothing to seal\n"  # not yet settled
    later(monkeypatch, timedelta(minutes=10))
    assert done(folder, "timestamp", "seal") == "2 stamps, through 2\n"
    assert done(folder, "timestamp", "seal") == "nothing to seal\n"
    with ca.database.read() as tx:
        event = next(found for found in ca.audit.recent(tx) if found.name == "timestamp.sealed")
    (told,) = json.loads(done(folder, "timestamp", "digest", "--after", "0", "--through", "2", "--json"))
    assert told == json.loads(event.detail)
    later(monkeypatch, timedelta(days=400))
    assert done(folder, *renew) == "renewed\n"
    assert done(folder, *renew) == "not due\n"
    assert refused(folder, "timestamp", "renew", "--authority", "nobody") == "authority_not_found"


# Status


def test_a_card_is_revoked_since_a_moment(folder: Path, ca: CertificationAuthority) -> None:
    with ca.database.read() as tx:
        before = ca.status_log.head(tx)
        rows = tx.all(Statement(text("SELECT card_number, count(*) FROM certificates GROUP BY card_number")))
        card_number = next(row[0] for row in rows if row[0] is not None and row[1] == 3)
        issued = ca.certificates.by_card(tx, card_number)
    one = issued[0]
    named = ("--authority", ca.registry.by_id(one.authority_id).slug, "--serial", f"{one.serial:x}")
    since = ("--reason", "keyCompromise", "--invalidity-date")
    for wrong in ("yesterday", "2026-03-01T08:00:00", "0202-01-01T00:00:00+08:00", "2999-01-01T00:00:00+08:00"):
        assert refused(folder, "ca", "revoke", *named, *since, wrong) == "invalidity_date_refused"
        assert refused(folder, "card", "revoke", card_number, *since, wrong) == "invalidity_date_refused"
    with ca.database.read() as tx:
        assert ca.status_log.head(tx) == before
    done(folder, "ca", "revoke", *named, *since, "2026-03-01T08:00:00+08:00")
    assert done(folder, "card", "suspend", card_number) == f"{len(issued) - 1} of {len(issued)} certificates changed\n"
    said = done(folder, "card", "revoke", card_number, *since, "2026-03-02T08:00:00+08:00")
    assert said == f"{len(issued) - 1} of {len(issued)} certificates changed\n"
    assert refused(folder, "card", "resume", card_number) == "certificate_already_revoked"
    with ca.database.read() as tx:
        latest = [ca.status_log.latest(tx, certificate.certificate_id) for certificate in issued]
    days = [change.invalidity_date.day for change in latest if change is not None and change.invalidity_date]
    assert days == [1, *[2] * (len(issued) - 1)]
    done(folder, "ca", "crl", "--authority", "citizen-g1")
    (check,) = json.loads(done(folder, "ca", "check-crls", "--authority", "citizen-g1", "--json"))
    assert (check["entries"], check["faults"]) == (len(issued), [])


def test_a_blocked_key_is_never_certified(folder: Path, ca: CertificationAuthority, tmp_path: Path) -> None:
    key = new_key()
    pem = tmp_path / "key.pem"
    pem.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    block = ("ca", "block-key", "--reason", "found in public")
    unknown = b64encode(bytes.fromhex("300f300a06082a85030701010101030100")).decode()
    (tmp_path / "unknown.pem").write_text(f"-----BEGIN PUBLIC KEY-----\n{unknown}\n-----END PUBLIC KEY-----\n")
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 100)
    for name in ("unknown.pem", "noise", "none"):
        assert refused(folder, *block, str(tmp_path / name)) == "blocked_key_malformed"
    assert refused(folder, "ca", "block-key", "--reason", "a\nb", str(pem)) == "blocked_key_malformed"
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert done(folder, *block, str(pem)) == f"SHA-256 of the key: {sha256(spki).hexdigest()}\n"
    assert done(folder, *block, str(pem)).endswith(f"{sha256(spki).hexdigest()}\n")
    with pytest.raises(KeyBlocked):
        ca.issuance.issue(citizen_request("blocked", key=key))
    certificate = tmp_path / "certificate.der"
    certificate.write_bytes(ca.registry.by_slug("citizen-g1").certificate.public_bytes(Encoding.DER))
    assert done(folder, *block, str(certificate)).startswith("SHA-256 of the key: ")


# Lists


def test_no_command_but_the_checker_reads_a_lists_octets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """openxpki #439: the console parsing a 20 MB CRL."""
    done(folder, "ca", "crl", "--authority", "citizen-g1")

    def read(*_: object) -> bytes:
        raise AssertionError("a list's octets were read")

    with monkeypatch.context() as patch:
        patch.setattr("ca_core.status.crl_store.chunk", read)
        for command_line in (
            ("ca", "list", "--json"),
            ("ca", "crl", "--authority", "citizen-g1"),
            ("ca", "delta-crl", "--authority", "citizen-g1"),
            ("ca", "lint", "state"),
            ("audit", "verify"),
        ):
            done(folder, *command_line)
        ca = CertificationAuthority(load_settings(folder / "citizenid.toml"))
        with httpx2.Client(transport=AsgiTransport(validation_authority_app(ca)), base_url="http://va") as client:
            assert client.get("/readyz").json()["crl"] == "ok"
            assert client.head("/pki/crl/citizen-g1.crl").status_code == 200
        ca.close()
        with pytest.raises(AssertionError, match="octets were read"):
            CliRunner().invoke(
                app, ["ca", "check-crls", "--config", str(folder / "citizenid.toml")], catch_exceptions=False
            )


# Health


@pytest.mark.parametrize("role", ["va", "all"])
def test_readiness_names_lists_that_are_overdue(folder: Path, role: str) -> None:
    """nextUpdate stuck in the past on one node takes that node out of service; the lists made anew put it back."""
    ahead = timedelta(0)
    ca = CertificationAuthority(load_settings(folder / "citizenid.toml"), clock=lambda: system_clock() + ahead)
    served = validation_authority_app(ca) if role == "va" else provider_app(ca, Provider(ca))
    with httpx2.Client(transport=AsgiTransport(served), base_url=ca.settings.issuer) as client:

        def ready() -> tuple[int, dict[str, object]]:
            answer = client.get("/readyz")
            return answer.status_code, answer.json()

        ca.crls.publish_due()
        status, members = ready()
        assert (status, members["ready"], members["crl"], members["database"]) == (200, True, "ok", "ok")
        ahead = timedelta(hours=25 if role == "va" else 50)
        status, members = ready()
        assert (status, members["ready"], members["crl"], members["database"]) == (503, False, "crl_overdue", "ok")
        ca.crls.publish_due()
        assert ready()[0] == 200
    ca.close()
