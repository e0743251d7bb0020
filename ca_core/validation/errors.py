"""Why a presented certificate is refused: one class and one code for each reason."""

from ca_core.kernel.errors import DomainError


class CertificateRefused(DomainError):
    """The family. `code` names the text that the person sees."""

    code = "certificate_refused"


class CertificateMalformed(CertificateRefused):
    """Too large, not an X.509 certificate in DER, or with a key or extension that cannot be read."""

    code = "certificate_malformed"


class CertificateUnknownIssuer(CertificateRefused):
    """Not signed by an authority of ours, whatever issuer it names, or the authority is not trusted any more."""

    code = "certificate_unknown_issuer"


class CertificateExpired(CertificateRefused):
    code = "certificate_expired"


class CertificateNotYetValid(CertificateRefused):
    code = "certificate_not_yet_valid"


class CertificateWrongProfile(CertificateRefused):
    """Good perhaps, but not for this: a signature or encryption certificate, a CA's, a server's."""

    code = "certificate_wrong_profile"


class CertificateUnknown(CertificateRefused):
    """Signed by an authority of ours, but these octets were never recorded: an alarm, not a mistake of the person's."""

    code = "certificate_unknown"


class CertificateSuspended(CertificateRefused):
    code = "certificate_suspended"


class CertificateRevoked(CertificateRefused):
    code = "certificate_revoked"
