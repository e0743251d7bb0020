"""The providers that this bridge knows, each with its pinned origin, issuer and keys."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from card_bridge.errors import ConfigurationError
from card_bridge.statement.errors import StatementMalformed
from card_bridge.statement.jose import parse_json_object, parse_public_jwk
from card_bridge.statement.model import MAX_NAME_LENGTH, LocalText, parse_issuer, parse_local_text
from card_bridge.web_eid.errors import OriginMalformed
from card_bridge.web_eid.origin import Origin, parse_origin

MAX_PROVIDERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    origin: Origin
    issuer: str
    name: LocalText
    keys: Mapping[str, ec.EllipticCurvePublicKey]  # by kid
    tls_ca: str | None = None  # path of a PEM bundle to trust for this provider instead of the system's


class Providers:
    """Pinned providers by their exact origin."""

    def __init__(self, providers: tuple[Provider, ...]) -> None:
        self._by_origin = {provider.origin: provider for provider in providers}

    def find(self, origin: str) -> Provider | None:
        return self._by_origin.get(Origin(origin))

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._by_origin.values())

    def __len__(self) -> int:
        return len(self._by_origin)


def parse_providers(octets: bytes) -> Providers:
    """The contents of providers.json. Raises: ConfigurationError with every fault, one a line."""
    try:
        document = parse_json_object(octets)
    except ValueError as error:
        raise ConfigurationError(f"providers.json: not a JSON object ({error})") from error
    entries = document.get("providers")
    if document.keys() != {"providers"} or not isinstance(entries, list) or len(entries) > MAX_PROVIDERS:
        raise ConfigurationError('providers.json: must be {"providers": [...]}, at most 64 of them')
    providers: list[Provider] = []
    faults: list[str] = []
    for index, entry in enumerate(entries):
        try:
            provider = _parse_provider(entry)
            if any(provider.origin == other.origin for other in providers):
                raise ValueError("the origin is listed twice")
            providers.append(provider)
        except (ValueError, OriginMalformed, StatementMalformed) as error:
            faults.append(f"providers.json: providers[{index}]: {error}")
    if faults:
        raise ConfigurationError("\n".join(faults))
    return Providers(tuple(providers))


def _parse_provider(entry: object) -> Provider:
    required = {"origin", "issuer", "name", "jwks"}
    if not isinstance(entry, dict) or not required <= entry.keys() <= required | {"tls_ca"}:
        raise ValueError("members are origin, issuer, name, jwks and optionally tls_ca")
    origin, issuer, tls_ca = entry["origin"], entry["issuer"], entry.get("tls_ca")
    if not isinstance(origin, str) or not isinstance(issuer, str):
        raise ValueError("origin and issuer must be texts")
    if tls_ca is not None and not isinstance(tls_ca, str):
        raise ValueError("tls_ca must be a path")
    return Provider(
        origin=parse_origin(origin),
        issuer=parse_issuer(issuer),
        name=parse_local_text(entry["name"], MAX_NAME_LENGTH),
        keys=_parse_jwks(entry["jwks"]),
        tls_ca=tls_ca,
    )


def _parse_jwks(jwks: object) -> dict[str, ec.EllipticCurvePublicKey]:
    entries = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ValueError('jwks must be {"keys": [...]} with at least one key')
    keys: dict[str, ec.EllipticCurvePublicKey] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError("a key is not an object")
        kid, key = parse_public_jwk(entry)
        if kid in keys:
            raise ValueError("a kid is used twice")
        keys[kid] = key
    return keys
