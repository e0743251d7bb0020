"""Why a statement is not shown. `code` is one of four that pages know; `reason` is one a failure."""

from card_bridge.errors import BridgeError


class StatementRefused(BridgeError):
    """The family: nothing is shown, and the card is not asked."""

    code = "statement_invalid"


class StatementMissing(StatementRefused):
    """None was given for a pinned provider's origin, or the provider did not hand it out."""

    code = "statement_unavailable"
    reason = "statement_missing"


class ProviderNotPinned(StatementRefused):
    """A statement came for an origin that no pinned provider has, so nothing could verify it."""

    code = "provider_unknown"


class StatementTooLarge(StatementRefused):
    reason = "statement_too_large"


class StatementMismatch(StatementRefused):
    """The nonce is not the statement's digest: not the statement that would be signed."""

    code = "statement_mismatch"
    reason = "statement_digest_differs"


class StatementNotCompact(StatementRefused):
    """Not three parts of canonical base64url."""

    reason = "statement_not_compact"


class StatementHeaderInvalid(StatementRefused):
    """The header is not exactly alg ES256, typ citizen-statement+jwt, kid."""

    reason = "statement_header"


class StatementKeyUnknown(StatementRefused):
    """The kid is none of the keys pinned for that provider."""

    reason = "statement_key_unknown"


class StatementSignatureInvalid(StatementRefused):
    reason = "statement_signature"


class StatementMalformed(StatementRefused):
    """The payload breaks the grammar; only a provider that signs nonsense gets here."""

    reason = "statement_grammar"


class StatementIssuerDiffers(StatementRefused):
    reason = "statement_issuer"


class StatementOriginDiffers(StatementRefused):
    """Made for a page of another origin than the one that asks."""

    code = "origin_mismatch"
    reason = "statement_origin"


class StatementNotYetValid(StatementRefused):
    """Issued in the future: this machine's clock is probably slow."""

    code = "statement_expired"
    reason = "statement_not_yet_valid"


class StatementExpired(StatementRefused):
    code = "statement_expired"
    reason = "statement_expired"


class StatementFlowRefused(StatementRefused):
    """A statement for another way in than the card."""

    reason = "statement_flow"
