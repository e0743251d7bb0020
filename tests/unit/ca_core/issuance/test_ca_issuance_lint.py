"""The linter as a gate, and its proof."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.issuance.draft import Draft
from ca_core.issuance.errors import LintRefused
from ca_core.issuance.lint import LintedRequest, Linter
from ca_core.issuance.model import LintMode
from support.pki import new_key

LINTER = Linter()
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def draft(*extensions: x509.ExtensionType) -> Draft:
    key = new_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW.replace(year=2027))
        .public_key(key.public_key())
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    made = builder.sign(key, hashes.SHA256())
    return Draft(
        tbs=made.tbs_certificate_bytes,
        preview=made.public_bytes(Encoding.DER),
        serial=1,
    )


def test_findings_refuse_and_are_listed_without_content() -> None:
    uri = x509.DNSName("not_a_host")
    with pytest.raises(LintRefused) as refused:
        LINTER.lint(draft(x509.SubjectAlternativeName([uri])))
    assert "pkix.invalid_domain_name_syntax" in refused.value.detail
    assert "not_a_host" not in refused.value.detail


def test_a_waived_finding_does_not_refuse_but_the_others_do() -> None:
    found = {line.rsplit(" ", 1)[1] for line in LINTER.findings(draft().preview)}
    assert found
    assert isinstance(LINTER.lint(draft(), waived=found), LintedRequest)
    with pytest.raises(LintRefused):
        LINTER.lint(draft(x509.SubjectAlternativeName([x509.DNSName("not_a_host")])), waived=found)


def test_what_is_no_certificate_is_refused() -> None:
    for octets in (b"", b"\x30\x00", b"not DER", draft().preview[:-1]):
        with pytest.raises(LintRefused):
            LINTER.findings(octets)


def test_nobody_else_makes_the_proof() -> None:
    with pytest.raises(TypeError):
        LintedRequest(draft(), mode=LintMode.EVERY, seal=object())
