"""Why a card login is refused. Each code is stable, goes on the wire, and names the texts `error.<code>.*`.

Refusals of the certificate itself are `ca_core.validation`'s, and pass through with their own codes.
"""

from typing import ClassVar

from ca_core.kernel.errors import DomainError


class CardLoginRefused(DomainError):
    """The root of this feature's errors."""

    code = "card_login_refused"
    status: ClassVar[int] = 400


class TokenMalformed(CardLoginRefused):
    """Not a Web eID authentication token: members, types, sizes, encodings, format or algorithm name."""

    code = "token_malformed"


class TokenAlgorithmMismatch(CardLoginRefused):
    """A known algorithm that the certificate's key cannot have signed with."""

    code = "token_algorithm_mismatch"


class TokenBindingMismatch(CardLoginRefused):
    """The signature is not over this origin and this challenge: another site, another session, or altered."""

    code = "token_binding_mismatch"
    status = 403


class ChallengeMissing(CardLoginRefused):
    """A token for an interaction that asked for no challenge."""

    code = "challenge_missing"
    status = 409


class ChallengeExpired(CardLoginRefused):
    """The challenge's time was over when the token came."""

    code = "challenge_expired"
    status = 409


class ChallengeAlreadyUsed(CardLoginRefused):
    """The challenge was taken out before: a replayed token, or a second one for the same challenge."""

    code = "challenge_already_used"
    status = 409


class ChallengeSuperseded(CardLoginRefused):
    """A good signature over an earlier challenge of this interaction, which a newer one has replaced."""

    code = "challenge_superseded"
    status = 409


class PersonUnknown(CardLoginRefused):
    """The certificate is good, and nobody is registered for it."""

    code = "person_unknown"
    status = 403


class ReportRefused(CardLoginRefused):
    """What the page reported about the bridge is not something a bridge says."""

    code = "report_refused"


class StatementNotFound(CardLoginRefused):
    """No statement of this digest that is still valid."""

    code = "statement_not_found"
    status = 404
