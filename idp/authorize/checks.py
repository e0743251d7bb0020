"""The checks of an authorization request, in order: first who asks and where the answer goes, then `CHECKS`.

Until `verify_client_and_redirect_uri` has passed, an error is shown to the person and redirected nowhere. After it,
every error goes to the relying party. Sources: RFC 6749 s4.1.1, RFC 7636 s4.3, RFC 9700 s2, OpenID Connect Core s3.1.2.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from idp.authorize.claims_parameter import parse_claims_parameter
from idp.authorize.model import AuthorizationRequest, Prompt, ordered
from idp.clients.model import Client
from idp.clients.service import ClientRegistry
from idp.oauth.errors import (
    InvalidRequest,
    InvalidScope,
    RedirectUriRefused,
    RegistrationNotSupported,
    RequestNotSupported,
    RequestUriNotSupported,
    UnknownClient,
    UnmetAuthenticationRequirements,
    UnsupportedResponseType,
)
from idp.oauth.scopes import CLAIM_SCOPE, OPENID, SCOPE_CLAIMS, acr_rank
from idp.provider_keys.errors import NotOurToken
from idp.provider_keys.hints import IdTokenHints
from idp.token.pkce import verify_code_challenge_syntax

MAX_STATE = 1_024
MAX_NONCE = 512
MAX_LIST = 512
_VISIBLE = re.compile(r"[\x20-\x7e]+")  # VSCHAR: RFC 6749 appendix A.5
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749 s3.3
_SECONDS = re.compile(r"[0-9]{1,9}")
_SCOPE_ORDER: Final = tuple(SCOPE_CLAIMS)


@dataclass(frozen=True, slots=True)
class UnverifiedParameters:
    """An authorization request as it came: fields with a value, and the names of those that were given twice."""

    fields: Mapping[str, str]
    repeated: frozenset[str] = frozenset()


@dataclass(slots=True)
class Draft:
    """What the checks have read so far."""

    given: Mapping[str, str]
    repeated: frozenset[str]
    client: Client
    redirect_uri: str
    hints: IdTokenHints
    state: str | None = None
    scope: tuple[str, ...] = ()
    nonce: str | None = None
    prompt: tuple[str, ...] = ()
    max_age: int | None = None
    acr_values: tuple[str, ...] = ()
    acr_needed: int = 0
    acr_is_essential: bool = False
    ui_locales: str = ""
    id_token_claims: tuple[str, ...] = ()
    userinfo_claims: tuple[str, ...] = ()
    expected_sub: str | None = None


def verify_client_and_redirect_uri(parameters: UnverifiedParameters, registry: ClientRegistry) -> tuple[Client, str]:
    """Who asks, and where the answer goes. Raises: UnknownClient, RedirectUriRefused; neither is ever redirected."""
    given = parameters.fields
    client_id = given.get("client_id")
    client = registry.find(client_id) if client_id and "client_id" not in parameters.repeated else None
    if client is None:
        raise UnknownClient("client_id is missing, repeated or unknown")
    redirect_uri = given.get("redirect_uri")
    if not redirect_uri or "redirect_uri" in parameters.repeated or not client.accepts_redirect_uri(redirect_uri):
        raise RedirectUriRefused("redirect_uri is missing, repeated or not registered")
    return client, redirect_uri


def read_state(draft: Draft) -> None:
    """state: opaque, sent back with every answer, so it is read first."""
    state = draft.given.get("state")
    if state is None or "state" in draft.repeated:
        return
    if len(state) > MAX_STATE or not _VISIBLE.fullmatch(state):
        raise InvalidRequest("state must be up to 1024 printable ASCII characters")
    draft.state = state


def refuse_repeats(draft: Draft) -> None:
    """A parameter given twice has no meaning (RFC 6749 s3.1)."""
    if draft.repeated:
        raise InvalidRequest("a parameter is repeated")


def refuse_request_objects(draft: Draft) -> None:
    """Core s6, s7.2.1: refused by their own errors, as discovery says that they are not supported."""
    if "request" in draft.given:
        raise RequestNotSupported("request is not supported")
    if "request_uri" in draft.given:
        raise RequestUriNotSupported("request_uri is not supported")
    if "registration" in draft.given:
        raise RegistrationNotSupported("registration is not supported")


def read_response_type(draft: Draft) -> None:
    """code alone: no token ever travels through the browser (RFC 9700 s2.1.2)."""
    response_type = draft.given.get("response_type")
    if response_type is None:
        raise InvalidRequest("response_type is missing")
    if response_type != "code":
        raise UnsupportedResponseType("response_type must be code")


def read_response_mode(draft: Draft) -> None:
    """query alone."""
    if draft.given.get("response_mode", "query") != "query":
        raise InvalidRequest("response_mode must be query")


def read_scope(draft: Draft) -> None:
    """openid and whatever else the client is registered for. Scopes unknown here are ignored (Core s3.1.2.1)."""
    scope = draft.given.get("scope", "")
    if len(scope) > MAX_LIST or not _SCOPE.fullmatch(scope):
        raise InvalidScope("scope is missing or malformed")
    names = scope.split(" ")
    known = ordered(names, _SCOPE_ORDER)
    if OPENID not in known:
        raise InvalidScope("scope must contain openid")
    for name in known:
        if name not in draft.client.scopes:
            raise InvalidScope(f"the client is not registered for {name}")
    draft.scope = known


def read_code_challenge(draft: Draft) -> None:
    """PKCE from every client, S256 alone: leaving the method out would mean `plain`."""
    challenge = draft.given.get("code_challenge")
    if challenge is None:
        raise InvalidRequest("code_challenge is required")
    if draft.given.get("code_challenge_method") != "S256":
        raise InvalidRequest("code_challenge_method must be S256")
    verify_code_challenge_syntax(challenge)


def read_nonce(draft: Draft) -> None:
    """Optional in the code flow (Core s3.1.2.1), where PKCE protects the answer; sent back in the ID token."""
    nonce = draft.given.get("nonce")
    if nonce is not None and (len(nonce) > MAX_NONCE or not _VISIBLE.fullmatch(nonce)):
        raise InvalidRequest("nonce must be up to 512 printable ASCII characters")
    draft.nonce = nonce


def read_prompt(draft: Draft) -> None:
    """none stands alone (Core s3.1.2.1)."""
    if "prompt" not in draft.given:
        return
    values = draft.given["prompt"].split(" ")
    prompt = ordered(values, tuple(Prompt))
    if len(prompt) != len(values):
        raise InvalidRequest("prompt has an unknown or repeated value")
    if Prompt.NONE in prompt and len(prompt) > 1:
        raise InvalidRequest("prompt none allows no other value")
    draft.prompt = tuple(str(value) for value in prompt)


def read_max_age(draft: Draft) -> None:
    max_age = draft.given.get("max_age")
    if max_age is None:
        return
    if not _SECONDS.fullmatch(max_age):
        raise InvalidRequest("max_age must be a number of seconds")
    draft.max_age = int(max_age)


def read_claims(draft: Draft) -> None:
    """Claims by name. Those beyond the client's registered scopes are not refused, and never released."""
    if "claims" not in draft.given:
        return
    asked = parse_claims_parameter(draft.given["claims"])
    allowed = draft.client.scopes
    draft.id_token_claims = tuple(name for name in asked.id_token if CLAIM_SCOPE[name] in allowed)
    draft.userinfo_claims = tuple(name for name in asked.userinfo if CLAIM_SCOPE[name] in allowed)
    draft.expected_sub = asked.sub
    draft.acr_values = asked.acr_values
    draft.acr_is_essential = asked.acr_is_essential


def read_acr_values(draft: Draft) -> None:
    """The weakest level named that we know is what a login must reach; a stronger one meets a weaker one's request."""
    if "acr_values" in draft.given and not draft.acr_values:
        values = draft.given["acr_values"]
        if len(values) > MAX_LIST:
            raise InvalidRequest("acr_values is too long")
        draft.acr_values = tuple(values.split(" "))
    ranks = [acr_rank(value) for value in draft.acr_values if acr_rank(value)]
    if draft.acr_is_essential and not ranks:
        raise UnmetAuthenticationRequirements("no acr asked for is one of this provider")
    draft.acr_needed = min(ranks, default=0)


def read_id_token_hint(draft: Draft) -> None:
    """Whom the answer must be about: an ID token of ours, made for this client; expired is fine."""
    if "id_token_hint" not in draft.given:
        return
    try:
        hint = draft.hints.read(draft.given["id_token_hint"])
    except NotOurToken as error:
        raise InvalidRequest("id_token_hint is not an ID token of this provider", detail=error.detail) from error
    if hint.client_id != draft.client.client_id:
        raise InvalidRequest("id_token_hint was made for another client")
    if draft.expected_sub is not None and draft.expected_sub != hint.sub:
        raise InvalidRequest("id_token_hint and claims ask for different subjects")
    draft.expected_sub = hint.sub


def read_ui_locales(draft: Draft) -> None:
    """Wishes only: what is not understood is ignored. login_hint and display are ignored whole."""
    draft.ui_locales = draft.given.get("ui_locales", "")[:MAX_LIST]


CHECKS: Final[tuple[Callable[[Draft], None], ...]] = (
    read_state,
    refuse_repeats,
    refuse_request_objects,
    read_response_type,
    read_response_mode,
    read_scope,
    read_code_challenge,
    read_nonce,
    read_prompt,
    read_max_age,
    read_claims,
    read_acr_values,
    read_id_token_hint,
    read_ui_locales,
)


def read_request(draft: Draft) -> AuthorizationRequest:
    """The request, once every check has passed. Raises: OAuthError, always redirectable."""
    for check in CHECKS:
        check(draft)
    return AuthorizationRequest(
        client_id=draft.client.client_id,
        redirect_uri=draft.redirect_uri,
        scope=draft.scope,
        state=draft.state,
        nonce=draft.nonce,
        code_challenge=draft.given["code_challenge"],
        sector_identifier=draft.client.sector_identifier,
        prompt=draft.prompt,
        max_age=draft.max_age,
        acr_values=draft.acr_values,
        acr_needed=draft.acr_needed,
        acr_is_essential=draft.acr_is_essential,
        ui_locales=draft.ui_locales,
        id_token_claims=draft.id_token_claims,
        userinfo_claims=draft.userinfo_claims,
        expected_sub=draft.expected_sub,
    )
