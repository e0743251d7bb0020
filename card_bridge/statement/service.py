"""Verifies a provider's statement before anything of it is shown."""

import hashlib
import hmac
from base64 import b64encode
from datetime import timedelta

from cryptography.exceptions import InvalidSignature

from card_bridge.clock import Clock
from card_bridge.statement import errors
from card_bridge.statement.jose import parse_base64url, parse_json_object, verify_es256
from card_bridge.statement.model import Statement, VerifiedStatement, parse_statement
from card_bridge.statement.providers import Provider

MAX_STATEMENT_OCTETS = 4096
CLOCK_SKEW = timedelta(seconds=30)
STATEMENT_TYPE = "citizen-statement+jwt"
CARD_FLOWS = frozenset({"card"})


class StatementVerifier:
    """Holds the clock; the provider, and with it the keys, come with each call from the page's origin."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def verify(self, compact: str, *, challenge_nonce: str, provider: Provider) -> VerifiedStatement:
        """The statement, iff it is the provider's, unaltered, for the provider's own origin, and of this minute.

        compact: untrusted. challenge_nonce: standard base64 of 32 octets, untrusted.
        The order matters and is part of the interface; the first failure is the one reported:
        1 size; 2 the nonce is SHA-256 of the compact form; 3 three parts of canonical base64url; 4 header exactly
        alg, typ, kid; 5 kid pinned for this provider; 6 signature; 7 grammar; 8 issuer; 9 origin; 10 time, with 30
        seconds of tolerance; 11 flow. Nothing of the payload is read before its signature holds.
        Raises: StatementRefused, a subclass each.
        """
        if len(compact) > MAX_STATEMENT_OCTETS:
            raise errors.StatementTooLarge
        digest = _digest(compact)
        if not hmac.compare_digest(b64encode(digest), challenge_nonce.encode("utf-8")):
            raise errors.StatementMismatch  # the text is compared: a second spelling of the same octets is not signed
        header, payload, signature = _split(compact)
        try:
            verify_es256(provider.keys[_kid(header)], signature, compact.rpartition(".")[0].encode("ascii"))
        except KeyError as error:
            raise errors.StatementKeyUnknown from error
        except InvalidSignature as error:
            raise errors.StatementSignatureInvalid from error
        try:
            statement = parse_statement(parse_json_object(payload))
        except ValueError as error:
            raise errors.StatementMalformed("not a JSON object") from error
        self._check_context(statement, provider)
        return VerifiedStatement(statement=statement, digest=digest)

    def _check_context(self, statement: Statement, provider: Provider) -> None:
        if statement.iss != provider.issuer:
            raise errors.StatementIssuerDiffers
        if statement.origin != provider.origin:
            raise errors.StatementOriginDiffers
        now = self._clock()
        if statement.iat > now + CLOCK_SKEW:
            raise errors.StatementNotYetValid
        if statement.exp <= now - CLOCK_SKEW:
            raise errors.StatementExpired
        if statement.flow not in CARD_FLOWS:
            raise errors.StatementFlowRefused(statement.flow)

    def seconds_left(self, verified: VerifiedStatement) -> float:
        """How long the provider will still take the signature, never more than the statement's whole life."""
        statement = verified.statement
        left = statement.exp + CLOCK_SKEW - self._clock()
        return min(left, statement.exp - statement.iat).total_seconds()


def _digest(compact: str) -> bytes:
    try:
        return hashlib.sha256(compact.encode("ascii")).digest()
    except UnicodeEncodeError as error:
        raise errors.StatementNotCompact from error


def _split(compact: str) -> tuple[dict[str, object], bytes, bytes]:
    parts = compact.split(".")
    if len(parts) != 3:
        raise errors.StatementNotCompact
    try:
        header, payload, signature = (parse_base64url(part) for part in parts)
    except ValueError as error:
        raise errors.StatementNotCompact from error
    try:
        return parse_json_object(header), payload, signature
    except ValueError as error:
        raise errors.StatementHeaderInvalid from error


def _kid(header: dict[str, object]) -> str:
    kid = header.get("kid")
    expected = {"alg": "ES256", "typ": STATEMENT_TYPE, "kid": kid}
    if header != expected or not isinstance(kid, str):
        raise errors.StatementHeaderInvalid
    return kid
