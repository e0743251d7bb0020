"""pkilint's validators asked by class find what pkilint finds in its own way: the same, at the same place, in order."""

from functools import cache
from pathlib import Path

import cryptography_vectors
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pkilint.loader import RFC5280CertificateDocumentLoader

from ca_core.issuance.lint import pkilint_validators
from ca_core.issuance.lint_visit import ByClass

SUITE = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data" / "certs"
MOICA = Path(__file__).parents[1] / "vectors" / "moica" / "moica-g3.cer"
IN_ITS_OWN_WAY = pkilint_validators()
BY_CLASS = ByClass(pkilint_validators())


@cache
def octets() -> list[bytes]:
    """NIST's certificates, of every extension of RFC 5280, and one of the deployed authority's."""
    return [path.read_bytes() for path in (*sorted(SUITE.glob("*.crt")), MOICA)]


def results(validators: object, der: bytes) -> list[tuple[str, str, list[object]]]:
    root = RFC5280CertificateDocumentLoader().load_der_document(der).root
    return [
        (result.validator.name, result.node.path, list(result.finding_descriptions))
        for result in validators.validate(root)  # type: ignore[attr-defined]  # pkilint says nothing of types
    ]


def test_of_every_certificate_of_pkits() -> None:
    assert len(octets()) > 400
    found = 0
    for der in octets():
        expected = results(IN_ITS_OWN_WAY, der)
        assert results(BY_CLASS, der) == expected
        found += sum(len(descriptions) for _, _, descriptions in expected)
    assert found > 400


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_of_damaged_ones(data: st.DataObject) -> None:
    der = bytearray(data.draw(st.sampled_from(octets())))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        expected = results(IN_ITS_OWN_WAY, bytes(der))
    except ValueError:  # no certificate at all: no validator is asked
        reject()
    assert results(BY_CLASS, bytes(der)) == expected
