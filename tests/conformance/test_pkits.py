"""NIST PKITS over the path and status code, case by case: tests/vectors/pkits/cases.txt says which apply and why not.

The suite's CA certificates stand in for the authorities of a registry, its trust anchor for the configured root. Its
complete CRLs, where an authority's own key signed them, stand in for the status log: their entries are the database's.
The certificate under test goes through the whole `CertificateValidator`; only the rules of our own certificate
profiles, which no certificate of the suite can meet, are left out.
"""

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import cryptography
import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning

from ca_core.authorities.model import Authority, AuthorityRole
from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.database import Database, Transaction
from ca_core.keys.model import PublicKey
from ca_core.revocation import RevocationReason
from ca_core.status import CertificateState, CertificateStatus
from ca_core.validation import CertificateRefused, CertificateValidator, Purpose
from ca_core.validation import service as validation_service

SUITE = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
TABLE = Path(__file__).parents[1] / "vectors" / "pkits" / "cases.txt"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
GOOD = CertificateStatus(state=CertificateState.GOOD)
REVOKED = CertificateStatus(state=CertificateState.REVOKED, reason=RevocationReason.UNSPECIFIED, since=NOW)
LISTS = {"list-not-read", "one-key"}
_EE_ID = 100_000


@dataclass(frozen=True)
class Case:
    """A row of the table. pkits, ours: "valid" or "invalid". reason: why they differ, or why the case is none of ours;
    empty where the case applies."""

    number: str
    certificate: str
    pkits: str
    ours: str
    reason: str


def read_table() -> tuple[list[Case], dict[str, str]]:
    cases, reasons = [], {}
    for line in TABLE.read_text("utf-8").splitlines():
        if line.startswith("reason "):
            _, name, text = line.split(maxsplit=2)
            reasons[name] = text
        elif line and not line.startswith("#"):
            cases.append(Case(*[*line.split(), ""][:5]))
    return cases, reasons


CASES, REASONS = read_table()


class Suite:
    """The suite as the ports of validation see a house's records."""

    def __init__(self) -> None:
        self.root = x509.load_der_x509_certificate((SUITE / "certs" / "TrustAnchorRootCertificate.crt").read_bytes())
        self.authorities = tuple(self._authorities())
        self.revoked = {key for path in sorted((SUITE / "crls").iterdir()) for key in self._entries(path)}

    def all(self) -> tuple[Authority, ...]:
        return self.authorities

    def find(self, tx: Transaction, authority_id: int, serial: int) -> IssuedCertificate | None:
        """The certificate under test is recorded as a citizen's, with the octets that are presented."""
        return IssuedCertificate(
            certificate_id=_EE_ID + authority_id,
            authority_id=authority_id,
            serial=serial,
            certificate=self.presented,
            profile="citizen-authentication",
            person_id="person",
            card_number="0000000000000001",
        )

    def status_of(self, tx: Transaction, certificate_id: int) -> CertificateStatus:
        if certificate_id >= _EE_ID:
            issuer, serial = certificate_id - _EE_ID, self.presented.serial_number
            return REVOKED if (issuer, serial) in self.revoked else GOOD
        own = self.authorities[certificate_id].certificate
        return REVOKED if any((one.id, own.serial_number) in self.revoked for one in self._issuers(own)) else GOOD

    def present(self, name: str) -> bytes:
        der = (SUITE / "certs" / f"{name}EE.crt").read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # a negative serial: refused, if it comes
            try:
                self.presented = x509.load_der_x509_certificate(der)
            except (ValueError, UnsupportedAlgorithm):
                del self.presented  # what cannot even be parsed is never looked up
        return der

    presented: x509.Certificate

    def _authorities(self) -> list[Authority]:
        found: list[Authority] = []
        for path in sorted((SUITE / "certs").iterdir()):
            if path.name.endswith("EE.crt"):
                continue
            try:
                certificate = x509.load_der_x509_certificate(path.read_bytes())
                key = certificate.public_key()
            except (ValueError, UnsupportedAlgorithm):
                continue  # a DSA key without its parameters: no authority of ours could have it
            if isinstance(key, PublicKey):
                identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
                found.append(
                    Authority(
                        id=len(found),
                        slug=path.stem,
                        role=AuthorityRole.ISSUING,
                        certificate=certificate,
                        certificate_id=len(found),
                        key_label="",
                        parent_id=None,
                        key_identifier=identifier,
                        profiles=frozenset(),
                    )
                )
        return found

    def _issuers(self, certificate: x509.Certificate) -> list[Authority]:
        identifier = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        return [one for one in self.authorities if one.key_identifier == identifier]

    def _entries(self, path: Path) -> set[tuple[int, int]]:
        """(authority, serial) of each entry, where a known authority signed a list without critical extensions."""
        try:
            crl = x509.load_der_x509_crl(path.read_bytes())
            critical = [extension for extension in crl.extensions if extension.critical]
            named = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
            signers = [
                one
                for one in self.authorities
                if one.key_identifier == named
                and one.certificate.subject == crl.issuer
                and not critical
                and crl.is_signature_valid(one.public_key)
            ]
            return {(signer.id, entry.serial_number) for signer in signers for entry in crl}
        except (ValueError, UnsupportedAlgorithm, x509.ExtensionNotFound):
            return set()


@cache
def suite() -> Suite:
    return Suite()


def test_every_certificate_of_the_suite_is_in_the_table_and_every_reason_is_explained() -> None:
    assert cryptography_vectors.__version__ == cryptography.__version__
    inside = {path.name.removesuffix("EE.crt") for path in (SUITE / "certs").iterdir() if path.name.endswith("EE.crt")}
    assert {case.certificate for case in CASES} == inside
    numbers = [tuple(int(part) for part in case.number.split(".")) for case in CASES]
    assert numbers == sorted(set(numbers))
    assert len(CASES) == 224
    assert {case.reason for case in CASES if case.reason} == set(REASONS)
    for case in CASES:
        assert case.reason or case.ours == case.pkits, case


def test_nothing_that_the_suite_calls_invalid_is_accepted_but_for_lists_that_are_not_read_here() -> None:
    for case in CASES:
        assert not (case.pkits == "invalid" and case.ours == "valid") or case.reason in LISTS, case


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number}-{case.certificate}")
def test_case(case: Case, sqlite_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation_service, "verify_profile", lambda _presented, _purpose: "citizen-authentication")
    records = suite()
    der = records.present(case.certificate)
    database = Database.open(sqlite_database_url)
    validator = CertificateValidator(database, records, records, records, lambda: NOW, roots=[records.root])
    try:
        validator.verify(der, Purpose.LOGIN)
        ours = "valid"
    except CertificateRefused:
        ours = "invalid"
    finally:
        database.dispose()
    assert ours == case.ours, case
