"""Why a statement is not accepted. The codes are stable; the vectors and the bridge's own verifier share them."""

from ca_core.kernel.errors import DomainError


class StatementRefused(DomainError):
    """A statement that must not be signed, shown or redeemed. The root of this feature's errors."""

    code = "statement_refused"


class StatementMalformed(StatementRefused):
    """Not the grammar: serialisation, encoding, header, members, types, lengths or the rules between members."""

    code = "statement_malformed"


class StatementKeyUnknown(StatementRefused):
    """Well-formed, and its `kid` names none of the provider's statement keys."""

    code = "statement_key_unknown"


class StatementSignatureInvalid(StatementRefused):
    """Well-formed, and not signed by the key that its `kid` names."""

    code = "statement_signature_invalid"


class StatementIssuerMismatch(StatementRefused):
    """Signed, but made in the name of another provider."""

    code = "statement_issuer_mismatch"


class StatementOriginMismatch(StatementRefused):
    """Signed, but made for a page of another origin."""

    code = "statement_origin_mismatch"


class StatementNotYetValid(StatementRefused):
    """Signed, but dated in the future."""

    code = "statement_not_yet_valid"


class StatementExpired(StatementRefused):
    """Signed, but its time is over."""

    code = "statement_expired"


class StatementNotRedeemed(StatementRefused):
    """Evidence was offered for a statement that nobody redeemed."""

    code = "statement_not_redeemed"
