"""What the demo's certification authority publishes, as openssl sees it."""

import base64
import time
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from support.demo import Demo
from support.outside_login import authorization_request, challenge, sign_with_card
from support.processes import run
from support.scriptless import ScriptlessBrowser


@pytest.fixture
def published(own_demo: Demo, tmp_path: Path) -> Path:
    """A folder with the chain, the CRL and the first citizen's authentication certificate, all PEM."""
    fetched = [
        x509.load_der_x509_certificate(httpx2.get(url).raise_for_status().content)
        for url in own_demo.info["pki"]["ca_certificates"]
    ]
    roots = [certificate for certificate in fetched if certificate.subject == certificate.issuer]
    write(tmp_path / "roots.pem", *(certificate.public_bytes(Encoding.PEM) for certificate in roots))
    lists = [x509.load_der_x509_crl(httpx2.get(url).raise_for_status().content) for url in own_demo.info["pki"]["crl"]]
    write(tmp_path / "crls.pem", *(crl.public_bytes(Encoding.PEM) for crl in lists))
    citizen = citizen_certificate(own_demo)
    write(tmp_path / "citizen.pem", citizen.public_bytes(Encoding.PEM))
    issuer = next(ca for ca in fetched if ca.subject == citizen.issuer)
    write(tmp_path / "issuer.pem", issuer.public_bytes(Encoding.PEM))
    return tmp_path


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
