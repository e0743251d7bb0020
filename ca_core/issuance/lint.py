"""pkilint, as a gate that every certificate passes before its authority's key is asked."""

from collections.abc import Collection

from pkilint.loader import RFC5280CertificateDocumentLoader
from pkilint.pkix import certificate, extension, name
from pkilint.validation import ValidationFindingSeverity, ValidatorContainer

from ca_core.issuance.draft import Draft
from ca_core.issuance.errors import LintRefused
from ca_core.issuance.lint_visit import ByClass
from ca_core.issuance.model import LintMode

_SEAL = object()


class LintedRequest:
    """Proof that a draft was linted and nothing above INFO was found. Only a `Linter` makes one.

    mode: whether this very draft was, or the template that it was spliced from.
    """

    __slots__ = ("draft", "mode")

    def __init__(self, draft: Draft, *, mode: LintMode, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only the linter makes a LintedRequest")
        self.draft = draft
        self.mode = mode


def pkilint_validators() -> ValidatorContainer:
    """Those of pkilint's own command for RFC 5280 certificates, `lint_pkix_cert`."""
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


class Linter:
    """The validators of pkilint for RFC 5280 certificates, built once and used for every certificate.

    validators: pkilint's, to be asked in pkilint's own way; otherwise they are asked `ByClass`, for the same findings.
    """

    def __init__(self, validators: ValidatorContainer | None = None) -> None:
        self._loader = RFC5280CertificateDocumentLoader()
        self._validator = ByClass(pkilint_validators()) if validators is None else validators

    def lint(self, draft: Draft, *, waived: Collection[str] = ()) -> LintedRequest:
        """waived: codes of findings that the profile accepts. Raises: LintRefused, with all others above INFO."""
        findings = self.findings(draft.preview, waived=waived)
        if findings:
            raise LintRefused("\n".join(findings))
        return LintedRequest(draft, mode=LintMode.EVERY, seal=_SEAL)

    def accept(self, draft: Draft) -> LintedRequest:
        """For `Template` alone: a draft that it spliced from a linted certificate, read back and judged."""
        return LintedRequest(draft, mode=LintMode.TEMPLATE, seal=_SEAL)

    def findings(self, der: bytes, *, waived: Collection[str] = ()) -> list[str]:
        """What is found above INFO in a certificate: severity, place and code, without the certificate's content."""
        try:
            document = self._loader.load_der_document(der)
        except ValueError as error:
            raise LintRefused("FATAL certificate: cannot be read") from error
        return [
            f"{described.finding.severity} {result.node.path}: {described.finding.code}"
            for result in self._validator.validate(document.root)
            for described in result.finding_descriptions
            if described.finding.severity < ValidationFindingSeverity.INFO and described.finding.code not in waived
        ]
