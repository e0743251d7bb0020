"""A consent, and when it covers what is asked."""

from dataclasses import dataclass
from datetime import datetime

from idp.oauth.scopes import claims_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One act of allowing. scope and claims as they were shown; acts add up until they are withdrawn."""

    person_id: str
    client_id: str
    scope: tuple[str, ...]
    claims: tuple[str, ...]
    granted_at: datetime


def covers(consents: list[Consent], scope: tuple[str, ...], claims: tuple[str, ...]) -> bool:
    """Whether everything asked for now was allowed before. A claim is also allowed by a scope that releases it."""
    if len(consents) == 1 and consents[0].scope == scope and consents[0].claims == claims:
        return True
    if not consents:
        return False
    allowed_scope = {name for consent in consents for name in consent.scope}
    allowed_claims = {name for consent in consents for name in consent.claims}
    allowed_claims.update(claims_of(tuple(allowed_scope)))
    return allowed_scope.issuperset(scope) and allowed_claims.issuperset(claims)
