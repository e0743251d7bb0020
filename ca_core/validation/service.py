"""The one way in which a presented certificate comes to be trusted."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.status.model import CertificateState, CertificateStatus
from ca_core.validation.errors import (
    CertificateExpired,
    CertificateNotYetValid,
    CertificateRevoked,
    CertificateSuspended,
    CertificateUnknown,
    CertificateUnknownIssuer,
    CertificateWrongProfile,
)
from ca_core.validation.model import Purpose, ValidatedCertificate
from ca_core.validation.path import PathVerifier, VerifiedAuthority, clamped
from ca_core.validation.ports import Authorities, Certificates, Statuses
from ca_core.validation.presented import PresentedCertificate, parse_presented_certificate
from ca_core.validation.rules import verify_profile

SOURCE = "database"


class CertificateValidator:
    """Uses local data alone: no network, and no address that a certificate names."""

    def __init__(
        self,
        database: Database,
        authorities: Authorities,
        certificates: Certificates,
        statuses: Statuses,
        clock: Clock,
        *,
        roots: Sequence[x509.Certificate],
    ) -> None:
        """Raises: ConfigurationError, without a root."""
        self._database = database
        self._certificates = certificates
        self._statuses = statuses
        self._clock = clock
        self._paths = PathVerifier(authorities, roots)

    def verify(self, der: bytes, purpose: Purpose) -> ValidatedCertificate:
        """`verify_in` with reads of its own."""
        with self._database.read() as tx:
            return self.verify_in(tx, der, purpose)

    def verify_in(self, tx: Transaction, der: bytes, purpose: Purpose) -> ValidatedCertificate:
        """The certificate in untrusted DER, fit for the purpose now, as the caller's transaction sees the records.

        1. Size and form (CertificateMalformed). 2. Issued by an authority of ours, found by key and proved by
        signature, with a path to a configured root (CertificateUnknownIssuer). 3. Validity (CertificateNotYetValid,
        CertificateExpired). 4. The profile's rules for the purpose (CertificateWrongProfile). 5. Recorded here, octet
        for octet, for a person's card, by that profile (CertificateUnknown, CertificateWrongProfile). 6. Status of the
        authorities on the path (CertificateUnknownIssuer) and of the certificate (CertificateRevoked,
        CertificateSuspended).
        Raises: those, all CertificateRefused; Unavailable.
        """
        now = self._clock().replace(microsecond=0)
        presented = parse_presented_certificate(der)
        moment = clamped(now, presented.not_before, presented.not_after)
        issuer = self._paths.verify_issuer(presented.certificate, presented.issuer_key_identifier, moment)
        if now < presented.not_before:
            raise CertificateNotYetValid
        if now > presented.not_after:
            raise CertificateExpired
        profile = verify_profile(presented, purpose)
        issued = self._recorded(tx, issuer, presented)
        if issued.profile != profile or issued.person_id is None or issued.card_number is None:
            raise CertificateWrongProfile(f"recorded as {issued.profile}")
        self._verify_path_status(tx, issuer)
        verify_good(self._statuses.status_of(tx, issued.certificate_id))
        return ValidatedCertificate(
            certificate_id=issued.certificate_id,
            authority_id=issued.authority_id,
            serial=issued.serial,
            person_id=issued.person_id,
            card_number=issued.card_number,
            profile=issued.profile,
            public_key=presented.public_key,
            not_after=presented.not_after,
            status_source=SOURCE,
            status_age_s=0,
            der=der,
        )

    def status_of(self, certificate_id: int) -> CertificateStatus:
        """The status now, for a session that rests on a certificate."""
        with self._database.read() as tx:
            return self._statuses.status_of(tx, certificate_id)

    def _recorded(
        self, tx: Transaction, issuer: VerifiedAuthority, presented: PresentedCertificate
    ) -> IssuedCertificate:
        issued = self._certificates.find(tx, issuer.authority.id, presented.serial)
        if issued is None or issued.certificate.public_bytes(Encoding.DER) != presented.der:
            raise CertificateUnknown(f"authority {issuer.authority.id}")
        return issued

    def _verify_path_status(self, tx: Transaction, issuer: VerifiedAuthority) -> None:
        for certificate_id in issuer.certificate_ids:
            if not self._statuses.status_of(tx, certificate_id).is_good:
                raise CertificateUnknownIssuer(f"certificate {certificate_id} of its authority is not good")


def verify_good(status: CertificateStatus) -> None:
    """Accepts a good status. Raises: CertificateRevoked, CertificateSuspended."""
    if status.state is CertificateState.REVOKED:
        raise CertificateRevoked
    if status.state is CertificateState.SUSPENDED:
        raise CertificateSuspended
