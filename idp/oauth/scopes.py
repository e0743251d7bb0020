"""Scopes, the claims each releases, and the levels of assurance: the provider's vocabulary as data."""

from types import MappingProxyType

OPENID = "openid"

SCOPE_CLAIMS = MappingProxyType(
    {
        "openid": (),
        "profile": ("name", "birthdate", "gender"),
        "age": ("age_over_18", "age_over_20", "age_over_65"),
        "national_id": ("national_id",),
        "email": ("email", "email_verified"),
        "phone": ("phone_number", "phone_number_verified"),
        "certificate": ("certificate", "certificate_serial"),
    }
)
"""Every scope there is, and the claims that UserInfo releases for it."""

CLAIM_SCOPE = MappingProxyType(
    {claim: scope for scope, claims in SCOPE_CLAIMS.items() for claim in claims}
    | {"national_id_last4": "national_id", "revocation": "openid"}
)
"""The scope a client must be registered for before it may ask for a claim by the `claims` parameter."""

LOGIN_CLAIMS = ("sub", "auth_time", "acr", "amr", "sid")
"""Claims about the login itself: in every ID token, and no personal data."""

ACR_HIGH = "urn:citizenid:loa:high"
ACR_SUBSTANTIAL = "urn:citizenid:loa:substantial"
ACR_LOW = "urn:citizenid:loa:low"
ACR_RANK = MappingProxyType({ACR_LOW: 1, ACR_SUBSTANTIAL: 2, ACR_HIGH: 3})

UI_LOCALES = ("zh-TW", "en")


def claims_of(scope: tuple[str, ...]) -> tuple[str, ...]:
    """The personal claims these scopes release, in the order of the table."""
    return tuple(claim for name in SCOPE_CLAIMS if name in scope for claim in SCOPE_CLAIMS[name])


def acr_rank(acr: str) -> int:
    """How strong a level is; 0 for one that is not ours."""
    return ACR_RANK.get(acr, 0)
