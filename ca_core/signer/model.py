"""Who may ask the signer for what. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ca_core.issuance.model import StuckIntent

ROLE_DOMAIN: Final = "citizenid.internal"
"""Names below it are given to roles by internal certificates alone; nothing resolves them."""
SIGNER_NAME: Final = f"ca.{ROLE_DOMAIN}"
INTERNAL_PROFILE: Final = "internal-tls"
RESPONDER_PROFILE: Final = "ocsp-responder"
TIMESTAMP_PROFILE: Final = "time-stamping"
MAX_BATCH: Final = 512
MAX_STUCK: Final = 100


class CallerRole(StrEnum):
    """Roles that may have a client certificate for the port."""

    VA = "va"
    ADMIN = "admin"
    MOBILE = "mobile"
    WORKER = "worker"

    @property
    def name_in_certificate(self) -> str:
        """The dNSName that says so."""
        return role_name(self.value)

    @property
    def actor(self) -> str:
        """As audit events name it."""
        return f"system:{self.value}"


class Operation(StrEnum):
    """What the port offers, and all of it."""

    ISSUE = "issue"
    ISSUE_MANY = "issue-many"
    PUBLISH_CRL = "publish-crl"
    PUBLISH_DUE = "publish-due"
    RECOVER = "recover"
    KEYS = "keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a role may ask for. key_pins: SHA-256 of the SubjectPublicKeyInfos it must use; none given, any key."""

    operations: frozenset[Operation]
    key_pins: frozenset[str] = frozenset()


Grants = Mapping[CallerRole, Grant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A role, proven by its certificate. Only `callers.CallerRegister` makes one."""

    role: CallerRole
    certificate_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverySummary:
    """What recovery did: how many certificates are now recorded, and the first intents of those that stay open."""

    recovered: int
    stuck: tuple[StuckIntent, ...]


class CrlWanted(StrEnum):
    """Which list: the complete one with its shards, or the delta."""

    COMPLETE = "complete"
    DELTA = "delta"


def role_name(role: str) -> str:
    """The dNSName of a role in internal certificates."""
    return f"{role}.{ROLE_DOMAIN}"


def path_of(operation: Operation) -> str:
    """Where the port offers it."""
    return f"/ca/v1/{operation.value}"
