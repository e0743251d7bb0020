"""The one thing a citizen signs: made, verified, redeemed at most once, and kept as evidence."""

from ca_core.statement.errors import (
    StatementExpired,
    StatementIssuerMismatch,
    StatementKeyUnknown,
    StatementMalformed,
    StatementNotRedeemed,
    StatementNotYetValid,
    StatementOriginMismatch,
    StatementRefused,
    StatementSignatureInvalid,
)
from ca_core.statement.issuer import StatementIssuer
from ca_core.statement.keys import StatementKeys
from ca_core.statement.model import Document, Flow, LocalText, Statement, verify_issuer, verify_origin, verify_text
from ca_core.statement.signed import SignedStatement, challenge_nonce_of, code_of, digest_of
from ca_core.statement.store import StatementEvidence, StatementStore
from ca_core.statement.verify import verify_statement
from ca_core.statement.wire import UnverifiedStatement, parse_compact

__all__ = [
    "Document",
    "Flow",
    "LocalText",
    "SignedStatement",
    "Statement",
    "StatementEvidence",
    "StatementExpired",
    "StatementIssuer",
    "StatementIssuerMismatch",
    "StatementKeyUnknown",
    "StatementKeys",
    "StatementMalformed",
    "StatementNotRedeemed",
    "StatementNotYetValid",
    "StatementOriginMismatch",
    "StatementRefused",
    "StatementSignatureInvalid",
    "StatementStore",
    "UnverifiedStatement",
    "challenge_nonce_of",
    "code_of",
    "digest_of",
    "parse_compact",
    "verify_issuer",
    "verify_origin",
    "verify_statement",
    "verify_text",
]
