"""Why a certificate is not issued. Nothing is written in any of these cases unless the class says otherwise."""

from ca_core.kernel.errors import DomainError


class IssuanceError(DomainError):
    code = "issuance_error"


class IssuanceRefused(IssuanceError):
    """The request breaks a rule; the same request will be refused again."""

    code = "issuance_refused"


class RequestMalformed(IssuanceRefused):
    """A field is missing, is not used by the profile, or breaks its grammar. The detail names it, never its value."""

    code = "issuance_request_malformed"


class RequestIdReused(IssuanceRefused):
    """The request_id was used before, for other content."""

    code = "issuance_request_id_reused"


class ProfileNotAllowed(IssuanceRefused):
    """The authority does not issue that profile, or there is no such profile."""

    code = "issuance_profile_not_allowed"


class IssuerNotValid(IssuanceRefused):
    """The authority's own certificate is not valid now, or ends before the certificate would."""

    code = "issuance_issuer_not_valid"


class OriginRefused(IssuanceRefused):
    """Nothing can be derived from the named certificate: it is not here, not good, another person's, or of a profile
    from which this one is not derived; or too much was derived from it."""

    code = "issuance_origin_refused"


class PossessionNotProven(IssuanceRefused):
    """No certification request, or not signed by the key it names, or for another key."""

    code = "issuance_possession_not_proven"


class KeyRefused(IssuanceRefused):
    """The key's algorithm or size is not the profile's, or the key is weak."""

    code = "issuance_key_refused"


class KeyBlocked(KeyRefused):
    """The key is on the list of keys that are never certified."""

    code = "issuance_key_blocked"


class KeyReused(KeyRefused):
    """The key was certified before, for another holder or purpose."""

    code = "issuance_key_reused"


class LintRefused(IssuanceRefused):
    """The linter found something above INFO. The detail lists the findings."""

    code = "issuance_lint_refused"


class IssuanceFault(IssuanceError):
    """Something here is broken, not the request: a signature that does not verify, a serial that cannot be found."""

    code = "issuance_fault"
