"""Errors over the port: the class by its code and back, with the HTTP status that carries it. One table."""

from types import MappingProxyType
from typing import Final

from ca_core.authorities.errors import AuthorityNotFound
from ca_core.issuance.errors import (
    IssuanceFault,
    IssuerNotValid,
    KeyBlocked,
    KeyRefused,
    KeyReused,
    LintRefused,
    OriginRefused,
    PossessionNotProven,
    ProfileNotAllowed,
    RequestIdReused,
    RequestMalformed,
)
from ca_core.kernel.errors import Conflict, DomainError, Unavailable
from ca_core.kernel.web.errors import BodyTooLarge, MalformedJson
from ca_core.keys.errors import KeyAlgorithmRefused, KeyNotFound, KeyStoreFault
from ca_core.signer.errors import (
    CallerUnknown,
    EvidenceMissing,
    OperationNotAllowed,
    SignerFault,
    SignerRequestMalformed,
)
from ca_core.status.errors import AuthorityExpired, CrlBaseMissing, CrlRefused, CrlSuperseded, SigningFault

STATUSES: Final[dict[type[DomainError], int]] = {
    BodyTooLarge: 413,
    MalformedJson: 400,
    SignerRequestMalformed: 400,
    CallerUnknown: 403,
    OperationNotAllowed: 403,
    EvidenceMissing: 403,
    AuthorityNotFound: 404,
    KeyNotFound: 404,
    Conflict: 409,
    CrlSuperseded: 409,
    CrlBaseMissing: 409,
    RequestMalformed: 422,
    RequestIdReused: 422,
    ProfileNotAllowed: 422,
    IssuerNotValid: 422,
    OriginRefused: 422,
    PossessionNotProven: 422,
    KeyRefused: 422,
    KeyBlocked: 422,
    KeyReused: 422,
    KeyAlgorithmRefused: 422,
    LintRefused: 422,
    AuthorityExpired: 422,
    CrlRefused: 500,
    SigningFault: 500,
    IssuanceFault: 500,
    KeyStoreFault: 500,
    Unavailable: 503,
}
_CLASSES: Final = MappingProxyType({kind.code: kind for kind in STATUSES})


def listed(error: DomainError) -> type[DomainError] | None:
    """The error's class, or the nearest above it that the table has; None for one that has no place on this port."""
    return next((kind for kind in type(error).__mro__ if kind in STATUSES), None)


def error_of(code: str, *, detail: str) -> DomainError:
    """The same error on this side. Those that the table does not have are the signer's fault."""
    kind = _CLASSES.get(code)
    return SignerFault(f"{code[:64]} {detail}") if kind is None else kind(detail)
