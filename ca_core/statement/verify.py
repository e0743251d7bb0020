"""Accepting a statement: grammar, key, signature, issuer, origin, time."""

from datetime import datetime
from typing import Final

from joserfc import jws
from joserfc.errors import JoseError

from ca_core.statement.errors import (
    StatementExpired,
    StatementIssuerMismatch,
    StatementKeyUnknown,
    StatementNotYetValid,
    StatementOriginMismatch,
    StatementSignatureInvalid,
)
from ca_core.statement.keys import StatementKeys
from ca_core.statement.model import Statement
from ca_core.statement.wire import ALG, parse_compact

CLOCK_SKEW_S: Final = 5
"""How far ahead the issuing node's clock may be. Expiry gets no such allowance."""

_REGISTRY: Final = jws.JWSRegistry(algorithms=[ALG])


def verify_statement(
    unverified_compact: str, keys: StatementKeys, *, issuer: str, origin: str | None, now: datetime
) -> Statement:
    """The statement, if the provider `issuer` signed it for a page of `origin` and its time is not over.

    origin: None only where no page is involved, as in an audit of stored evidence.
    Raises: StatementMalformed, StatementKeyUnknown, StatementSignatureInvalid, StatementIssuerMismatch,
    StatementOriginMismatch, StatementNotYetValid, StatementExpired, in this order.
    """
    # 1. The grammar, to the letter, before any cryptography.
    unverified = parse_compact(unverified_compact)
    # 2. The key: only one of the pinned ones, never one that the statement brings along.
    key = keys.get(unverified.kid)
    if key is None:
        raise StatementKeyUnknown
    # 3. The signature.
    try:
        jws.deserialize_compact(unverified_compact, key, registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise StatementSignatureInvalid from error
    statement = unverified.statement
    # 4. Who made it, and for which page.
    if statement.iss != issuer:
        raise StatementIssuerMismatch
    if origin is not None and statement.origin != origin:
        raise StatementOriginMismatch
    # 5. Its time.
    seconds = now.timestamp()
    if statement.iat > seconds + CLOCK_SKEW_S:
        raise StatementNotYetValid
    if statement.exp <= seconds:
        raise StatementExpired
    return statement
