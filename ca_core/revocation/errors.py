"""Why a status is not changed. Nothing is written in any of these cases."""

from ca_core.kernel.errors import DomainError


class RevocationError(DomainError):
    code = "revocation_error"


class CertificateNotFound(RevocationError):
    """That authority never issued that serial."""

    code = "certificate_not_found"


class AlreadyRevoked(RevocationError):
    """Revocation is final: neither a second one nor suspension nor resumption follows it."""

    code = "certificate_already_revoked"


class AlreadySuspended(RevocationError):
    code = "certificate_already_suspended"


class NotSuspended(RevocationError):
    """Only what is suspended can be resumed."""

    code = "certificate_not_suspended"


class OriginNotGood(RevocationError):
    """What is derived from a certificate is not resumed while that one is suspended or revoked."""

    code = "certificate_origin_not_good"


class ReasonRefused(RevocationError):
    """certificateHold and removeFromCRL are what suspension and resumption write; nobody revokes for them."""

    code = "revocation_reason_refused"


class InvalidityDateRefused(RevocationError):
    """The date since when the key is distrusted lies in the future or before 1950, or has no zone."""

    code = "invalidity_date_refused"
