"""What the demo's certification authority publishes, as openssl sees it."""

import base64
import json
import time
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from support.demo import BIN, Demo
from support.distribution import first_uri
from support.outside_login import authorization_request, challenge, sign_with_card
from support.processes import run
from support.scriptless import ScriptlessBrowser


@pytest.fixture
def published(own_demo: Demo, tmp_path: Path) -> Path:
    """Of the test's own demo."""
    return fetch_all(own_demo, tmp_path)


def fetch_all(demo: Demo, folder: Path) -> Path:
    """A folder with the chain, the CRL and the first citizen's authentication certificate, all PEM."""
    fetched = [
        x509.load_der_x509_certificate(httpx2.get(url).raise_for_status().content)
        for url in demo.info["pki"]["ca_certificates"]
    ]
    roots = [certificate for certificate in fetched if certificate.subject == certificate.issuer]
    write(folder / "roots.pem", *(certificate.public_bytes(Encoding.PEM) for certificate in roots))
    lists = [x509.load_der_x509_crl(httpx2.get(url).raise_for_status().content) for url in demo.info["pki"]["crl"]]
    write(folder / "crls.pem", *(crl.public_bytes(Encoding.PEM) for crl in lists))
    citizen = citizen_certificate(demo)
    write(folder / "citizen.pem", citizen.public_bytes(Encoding.PEM))
    issuer = next(ca for ca in fetched if ca.subject == citizen.issuer)
    write(folder / "issuer.pem", issuer.public_bytes(Encoding.PEM))
    return folder


def write(path: Path, *parts: bytes) -> None:
    path.write_bytes(b"".join(parts))


def citizen_certificate(demo: Demo) -> x509.Certificate:
    with ScriptlessBrowser() as browser:
        request = authorization_request(demo)
        page = browser.open(request.url, until=request.redirect_uri)
        token = sign_with_card(demo, demo.citizens[0], page.origin, challenge(browser, page))
    return x509.load_der_x509_certificate(base64.b64decode(token["unverifiedCertificate"]))


def ocsp(demo: Demo, folder: Path) -> str:
    names = ["-issuer", folder / "issuer.pem", "-cert", folder / "citizen.pem", "-CAfile", folder / "roots.pem"]
    # -partial_chain is not among this command's options, so the issuer is given as an untrusted helper.
    answered = run(
        ["openssl", "ocsp", *names, "-verify_other", folder / "issuer.pem", "-url", demo.info["pki"]["ocsp"]]
    )
    assert "Response verify OK" in answered.stdout + answered.stderr
    return next(line for line in answered.stdout.splitlines() if line.startswith(str(folder / "citizen.pem")))


def verified(folder: Path, crls: Path) -> bool:
    chain = ["-CAfile", folder / "roots.pem", "-untrusted", folder / "issuer.pem", "-CRLfile", crls]
    ended = run(["openssl", "verify", "-crl_check", "-x509_strict", *chain, folder / "citizen.pem"], check=False)
    return ended.returncode == 0


def test_openssl_agrees_before_and_after_a_revocation(own_demo: Demo, published: Path) -> None:
    assert verified(published, published / "crls.pem")
    assert ocsp(own_demo, published).endswith(": good")

    own_demo.revoke(own_demo.citizens[0], "keyCompromise")
    time.sleep(1)
    assert ocsp(own_demo, published).endswith(": revoked")

    own_demo.publish_crl()
    issuer = x509.load_pem_x509_certificate((published / "issuer.pem").read_bytes())
    for url in own_demo.info["pki"]["crl"]:
        crl = x509.load_der_x509_crl(httpx2.get(url).raise_for_status().content)
        if crl.issuer == issuer.subject:
            write(published / "new.pem", crl.public_bytes(Encoding.PEM))
    assert not verified(published, published / "new.pem")


def pki_url(demo: Demo, path: str) -> str:
    return str(demo.info["pki"]["ocsp"]).removesuffix("ocsp") + path


def test_openssl_verifies_the_demos_time_stamps(demo: Demo, tmp_path: Path) -> None:
    folder = fetch_all(demo, tmp_path)
    (folder / "document").write_bytes("戶籍謄本".encode())
    run(["openssl", "ts", "-query", "-data", folder / "document", "-sha256", "-cert", "-out", folder / "query.tsq"])
    headers = {"Content-Type": "application/timestamp-query"}
    asked = httpx2.post(pki_url(demo, "tsa"), content=(folder / "query.tsq").read_bytes(), headers=headers)
    assert (asked.status_code, asked.headers["content-type"]) == (200, "application/timestamp-reply")
    write(folder / "reply.tsr", asked.content)
    trust = ["-CAfile", folder / "roots.pem", "-untrusted", folder / "issuer.pem", "-in", folder / "reply.tsr"]
    for named in (["-queryfile", folder / "query.tsq"], ["-data", folder / "document"]):
        said = run(["openssl", "ts", "-verify", *named, *trust])
        assert "Verification: OK" in said.stdout + said.stderr
    (folder / "document").write_bytes(b"another")
    refused = run(["openssl", "ts", "-verify", "-data", folder / "document", *trust], check=False)
    assert refused.returncode == 1


def test_the_served_checkpoint_is_of_the_log_that_an_auditor_copies(demo: Demo, tmp_path: Path) -> None:
    config = ["--config", demo.info["config"]]
    write(tmp_path / "checkpoint", httpx2.get(pki_url(demo, "log/checkpoint")).raise_for_status().content)
    served = int((tmp_path / "checkpoint").read_text().splitlines()[1])
    key = run([BIN / "citizenid", "audit", "key", *config]).stdout.strip()
    run([BIN / "citizenid", "audit", "export", tmp_path / "copy", *config])
    verify = [BIN / "citizenid", "audit", "verify", "--log", tmp_path / "copy", "--key", key, "--json"]
    found = json.loads(run([*verify, "--earlier", tmp_path / "checkpoint"]).stdout)
    assert (found["earlier"], found["size"] >= served) == ([served], True)
    altered = (tmp_path / "checkpoint").read_text().splitlines(keepends=True)
    altered[1] = f"{served - 1}\n"
    (tmp_path / "checkpoint").write_text("".join(altered))
    assert run([*verify, "--earlier", tmp_path / "checkpoint"], check=False).returncode == 1


def test_the_shard_that_a_citizens_certificate_names_is_served(demo: Demo, tmp_path: Path) -> None:
    folder = fetch_all(demo, tmp_path)
    citizen = x509.load_pem_x509_certificate((folder / "citizen.pem").read_bytes())
    issuer = x509.load_pem_x509_certificate((folder / "issuer.pem").read_bytes())
    points = citizen.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    uri = first_uri(points[0])
    answer = httpx2.get(uri).raise_for_status()
    assert answer.headers["content-type"] == "application/pkix-crl"
    shard = x509.load_der_x509_crl(answer.content)
    point = shard.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert point.critical
    assert first_uri(point.value) == uri
    assert shard.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # an EC key
    write(folder / "shard.pem", shard.public_bytes(Encoding.PEM))
    chain = ["-CAfile", folder / "roots.pem", "-untrusted", folder / "issuer.pem", "-CRLfile", folder / "shard.pem"]
    said = run(["openssl", "verify", "-crl_check", "-extended_crl", "-x509_strict", *chain, folder / "citizen.pem"])
    assert said.stdout.endswith("citizen.pem: OK\n")
    # The complete list stays reachable from the same certificate, for those who know nothing of shards.
    assert httpx2.get(first_uri(points[1])).status_code == 200
