"""The provider's metadata.  Spec: OpenID Connect Discovery s3, RFC 8414 s2, RFC 9207 s3, RP-Initiated Logout s2.1."""

from typing import TypeAlias

from idp.oauth.algorithms import SigningAlgorithm
from idp.oauth.scopes import ACR_RANK, CLAIM_SCOPE, LOGIN_CLAIMS, SCOPE_CLAIMS, UI_LOCALES

Metadata: TypeAlias = dict[str, str | bool | list[str]]

AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]


def provider_metadata(issuer: str) -> Metadata:
    """The document at /.well-known/openid-configuration. It claims nothing that is not built."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "end_session_endpoint": f"{issuer}/logout",
        "scopes_supported": list(SCOPE_CLAIMS),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "acr_values_supported": sorted(ACR_RANK, key=lambda acr: -ACR_RANK[acr]),
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": [algorithm.value for algorithm in SigningAlgorithm],
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "display_values_supported": ["page"],
        "claim_types_supported": ["normal"],
        "claims_supported": [*LOGIN_CLAIMS, *CLAIM_SCOPE],
        "ui_locales_supported": list(UI_LOCALES),
        "claims_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "require_request_uri_registration": False,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }


def authorization_server_metadata(metadata: Metadata) -> Metadata:
    """The document at /.well-known/oauth-authorization-server: the same provider, in RFC 8414's vocabulary."""
    kept = (
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "scopes_supported",
        "response_types_supported",
        "response_modes_supported",
        "grant_types_supported",
        "token_endpoint_auth_methods_supported",
        "ui_locales_supported",
        "code_challenge_methods_supported",
        "authorization_response_iss_parameter_supported",
    )
    return {name: metadata[name] for name in kept}
