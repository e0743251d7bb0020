"""The `claims` request parameter, bounded.  Spec: OpenID Connect Core s5.5."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ca_core.kernel.web.body import parse_json_object
from ca_core.kernel.web.errors import MalformedJson
from idp.oauth.errors import InvalidRequest
from idp.oauth.scopes import CLAIM_SCOPE

MAX_BYTES = 4_096
MAX_CLAIMS = 40
MAX_VALUES = 10
MAX_VALUE_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsRequest:
    """What the parameter asks for. Names are those of this provider alone, sorted; others are ignored (s5.5).

    sub: the only subject that will do. acr_values, acr_is_essential: levels asked for through the `acr` claim.
    """

    id_token: tuple[str, ...]
    userinfo: tuple[str, ...]
    sub: str | None
    acr_values: tuple[str, ...]
    acr_is_essential: bool


def parse_claims_parameter(untrusted: str) -> ClaimsRequest:
    """Raises: InvalidRequest."""
    octets = untrusted.encode("utf-8", "surrogatepass")
    if len(octets) > MAX_BYTES:
        raise InvalidRequest("claims is too long")
    try:
        members = parse_json_object(octets)
    except MalformedJson as error:
        raise InvalidRequest("claims is not a JSON object") from error
    id_token = _section(members, "id_token")
    userinfo = _section(members, "userinfo")
    acr = id_token.get("acr", {})
    subjects = {value for section in (id_token, userinfo) for value in _values(section.get("sub", {}))}
    if len(subjects) > 1:
        raise InvalidRequest("claims asks for more than one sub")
    return ClaimsRequest(
        id_token=_known(id_token),
        userinfo=_known(userinfo),
        sub=min(subjects) if subjects else None,
        acr_values=_values(acr),
        acr_is_essential=acr.get("essential") is True and bool(_values(acr)),
    )


def _known(section: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(name for name in section if name in CLAIM_SCOPE))


def _section(members: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Claim name to its request object; null stands for "voluntary" and becomes {}."""
    section = members.get(name, {})
    if not isinstance(section, dict) or len(section) > MAX_CLAIMS:
        raise InvalidRequest(f"claims.{name} is not an object, or too large")
    asked: dict[str, dict[str, Any]] = {}
    for claim, how in section.items():
        if how is not None and not isinstance(how, dict):
            raise InvalidRequest(f"claims.{name} has a member that is neither null nor an object")
        asked[claim] = how or {}
    return asked


def _values(how: Mapping[str, Any]) -> tuple[str, ...]:
    """The strings in `value` and `values`, in order."""
    values = how.get("values", [])
    if not isinstance(values, list) or len(values) > MAX_VALUES:
        raise InvalidRequest("claims has values that are not a short array")
    if "value" in how:
        values = [how["value"], *values]
    if any(not isinstance(value, str) or len(value) > MAX_VALUE_LENGTH for value in values):
        raise InvalidRequest("claims asks for a value that is not a short string")
    return tuple(values)
