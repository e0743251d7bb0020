"""What status services can refuse, and what can be wrong with them."""

from ca_core.kernel.errors import DomainError


class StatusError(DomainError):
    code = "status_error"


class OcspRequestMalformed(StatusError):
    """Not an OCSPRequest, over a bound, or with a critical extension that is not known here."""

    code = "ocsp_request_malformed"


class OcspRequestForeign(StatusError):
    """It asks about certificates of an issuer that is none of ours, or of several issuers at once."""

    code = "ocsp_request_foreign"


class ResponderMissing(StatusError):
    """No responder key with a valid certificate of that authority: `Responders.ensure` was not run."""

    code = "ocsp_responder_missing"


class ResponderRefused(StatusError):
    """A responder's certificate of another house that cannot be used; nothing was written."""

    code = "ocsp_responder_refused"


class AuthorityExpired(StatusError):
    """The authority's own certificate has ended: nothing is signed in its name any more."""

    code = "authority_expired"


class CrlSuperseded(StatusError):
    """Another worker gave this CRL up while it was being made; nothing was published."""

    code = "crl_superseded"


class CrlRefused(StatusError):
    """The linter or the checker of entries found something above INFO; nothing was published, the old one stays."""

    code = "crl_refused"


class CrlBaseMissing(StatusError):
    """A delta needs a published complete CRL, and there is none."""

    code = "crl_base_missing"


class CrlOverdue(StatusError):
    """The newest published list of an authority is past its nextUpdate."""

    code = "crl_overdue"


class CrlMalformed(StatusError):
    """Octets that are not a CertificateList of this house."""

    code = "crl_malformed"


class SigningFault(StatusError):
    """A signature that does not verify under the certificate's key; nothing was published."""

    code = "status_signing_fault"
