"""What the port refuses, and what can be wrong on the way to it."""

from typing import ClassVar

from ca_core.kernel.errors import DomainError, Unavailable


class SignerError(DomainError):
    code = "signer_error"


class CallerUnknown(SignerError):
    """Not the certificate of a role that may call: another issuer, profile or name, ended, revoked or not recorded."""

    code = "signer_caller_unknown"
    status: ClassVar[int] = 403


class OperationNotAllowed(SignerError):
    """The allow-list does not give this operation to that role."""

    code = "signer_operation_not_allowed"
    status: ClassVar[int] = 403


class EvidenceMissing(SignerError):
    """What must be on record before this is signed is not there, or says something else."""

    code = "signer_evidence_missing"
    status: ClassVar[int] = 403


class SignerRequestMalformed(SignerError):
    """A body that is not what the operation takes."""

    code = "signer_request_malformed"
    status: ClassVar[int] = 400


class SignerUnavailable(Unavailable):
    """The signer cannot be reached now, or did not answer; the same request may be repeated."""

    code = "signer_unavailable"


class SignerFault(SignerError):
    """The signer answered what it never should; nothing is believed of it."""

    code = "signer_fault"
