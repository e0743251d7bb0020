"""pkilint over a CRL's frame with a few of its entries: it takes half a millisecond an entry, so never over all."""

from pkilint import pkix
from pkilint.loader import RFC5280CertificateListDocumentLoader
from pkilint.pkix import crl, extension, name
from pkilint.validation import ValidationFindingSeverity

from ca_core.status.crl_frame import CrlFrame, certificate_list_header
from ca_core.status.errors import CrlRefused

SAMPLE = 32
_STAND_IN = bytes.fromhex("3006020101020101")
"""Where the signature will be; a linter does not verify it."""


class CrlLinter:
    """The validators of pkilint for RFC 5280 CRLs, built once."""

    def __init__(self) -> None:
        self._loader = RFC5280CertificateListDocumentLoader()
        self._validator = crl.create_pkix_crl_validator_container(
            [
                pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
                pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
            ],
            [
                crl.create_issuer_validator_container([]),
                crl.create_validity_validator_container([]),
                crl.create_extensions_validator_container([]),
            ],
        )

    def verify(self, frame: CrlFrame, sample: list[bytes]) -> None:
        """sample: at most SAMPLE entries. Raises: CrlRefused, with every finding above INFO."""
        findings = self.findings(frame, sample[:SAMPLE])
        if findings:
            raise CrlRefused("\n".join(findings))

    def findings(self, frame: CrlFrame, sample: list[bytes]) -> list[str]:
        """What is found above INFO: severity, place and code."""
        tbs = b"".join(frame.tbs(sample, sum(map(len, sample))))
        tail = frame.signed_tail(_STAND_IN)
        try:
            document = self._loader.load_der_document(certificate_list_header(len(tbs), len(tail)) + tbs + tail)
        except ValueError as error:
            raise CrlRefused("FATAL CRL: cannot be read") from error
        return [
            f"{described.finding.severity} {result.node.path}: {described.finding.code}"
            for result in self._validator.validate(document.root)
            for described in result.finding_descriptions
            if described.finding.severity < ValidationFindingSeverity.INFO
        ]
