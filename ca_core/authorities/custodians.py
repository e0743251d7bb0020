"""m of n custodians: who must approve a ceremony's file before it is held.

Each custodian has a key of their own, on their own token or disk, and signs the text of `approval_text`, which names
the file by its SHA-256, with any tool: `openssl dgst -sha256 -sign key.pem -out NAME.sig approval.txt`. Signatures are
verified when they are handed in and again, from the database, when the ceremony is held. The set of custodians and its
threshold is itself changed only by so many approvals of the set before it; the first set needs none.
"""

import tomllib
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ca_core.audit import AuditEvent, AuditLog, Outcome
from ca_core.authorities.custodian_store import CustodianStore
from ca_core.authorities.errors import ApprovalRefused, CustodianSetRefused, NotApproved
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Conflict
from ca_core.keys.errors import KeyAlgorithmRefused
from ca_core.keys.model import PublicKey, key_algorithm_of, key_digest

MAX_CUSTODIANS = 32
_Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Member(_Part):
    name: _Line
    public_key: Annotated[str, Field(max_length=4_096)]


class _SetFile(_Part):
    threshold: Annotated[int, Field(ge=1, le=MAX_CUSTODIANS)]
    custodians: Annotated[tuple[_Member, ...], Field(strict=False, min_length=1, max_length=MAX_CUSTODIANS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Custodian:
    """Somebody with a key of their own."""

    name: str
    public_key: PublicKey

    @property
    def key_digest(self) -> str:
        return key_digest(self.public_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodianSet:
    """So many of these. text: the file that says so; digest: SHA-256 over its octets."""

    threshold: int
    members: tuple[Custodian, ...]
    text: str
    digest: str


def approval_text(digest: str) -> bytes:
    """What a custodian signs to approve the file with that SHA-256 (64 hexadecimal digits)."""
    return f"citizenid key ceremony approval v1\nfile sha256 {digest}\n".encode("ascii")


def parse_custodians(octets: bytes) -> CustodianSet:
    """A set from its TOML file: threshold, and [[custodians]] with name and public_key (PEM).

    Raises: CustodianSetRefused.
    """
    try:
        text = octets.decode("utf-8")
        content = _SetFile.model_validate(tomllib.loads(text))
        members = tuple(_parse_member(member) for member in content.custodians)
    except ValidationError as error:
        faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        raise CustodianSetRefused("\n".join(faults)) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CustodianSetRefused(str(error)) from error
    if content.threshold > len(members):
        raise CustodianSetRefused("threshold: more than there are custodians")
    if len({member.key_digest for member in members}) != len(members):
        raise CustodianSetRefused("custodians: a key stands twice")
    if len({member.name for member in members}) != len(members):
        raise CustodianSetRefused("custodians: a name stands twice")
    return CustodianSet(threshold=content.threshold, members=members, text=text, digest=sha256(octets).hexdigest())


def verify_approval(custodian: Custodian, digest: str, signature: bytes) -> None:
    """PKCS#1 v1.5 or ECDSA (DER), with SHA-256, by that custodian over `approval_text`. Raises: ApprovalRefused."""
    try:
        if isinstance(custodian.public_key, rsa.RSAPublicKey):
            custodian.public_key.verify(signature, approval_text(digest), PKCS1v15(), hashes.SHA256())
        elif isinstance(custodian.public_key, ec.EllipticCurvePublicKey):
            custodian.public_key.verify(signature, approval_text(digest), ec.ECDSA(hashes.SHA256()))
        else:
            raise InvalidSignature
    except InvalidSignature as error:
        raise ApprovalRefused("the signature is not that custodian's over this file") from error


class CustodianService:
    """The current set of custodians, and what they approved."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._store = CustodianStore()

    def current(self) -> CustodianSet | None:
        """None where none was ever established: then a ceremony needs no approvals but those its file asks for."""
        with self._database.read() as tx:
            return self._current(tx)

    def establish(self, new: CustodianSet, *, actor: str) -> None:
        """Makes this the set from now on. Raises: NotApproved (by enough of the set before it), CustodianSetRefused."""
        try:
            with self._database.write() as tx:
                earlier = self._current(tx)
                if earlier is not None:
                    self._verify_approved(tx, earlier, new.digest, earlier.threshold)
                self._store.establish(tx, digest=new.digest, text=new.text, actor=actor, now=self._clock())
                detail: dict[str, str | int] = {
                    "file_sha256": new.digest,
                    "threshold": new.threshold,
                    "custodians": len(new.members),
                }
                self._append(tx, "ceremony.custodians_established", actor, detail)
        except Conflict as error:
            raise CustodianSetRefused("this very file was established before") from error

    def approve(self, digest: str, signature: bytes, *, actor: str) -> str:
        """Records an approval of the file with that SHA-256; returns the custodian's name. Twice changes nothing.

        Raises: ApprovalRefused, where it is no current custodian's signature; nothing was written.
        """
        with self._database.write() as tx:
            custodians = self._current(tx)
            if custodians is None:
                raise ApprovalRefused("there are no custodians")
            custodian = _signer_of(custodians, digest, signature)
            known = {key for key, _ in self._store.approvals(tx, digest)}
            if custodian.key_digest not in known:
                self._store.approve(tx, digest, custodian.key_digest, signature, now=self._clock())
                self._append(
                    tx, "ceremony.approved", actor, {"file_sha256": digest, "custodian_key": custodian.key_digest}
                )
            return custodian.name

    def verify_approved(self, digest: str, *, wanted: int) -> tuple[str, ...]:
        """Names of those who approved: at least `wanted`, and at least the set's threshold. Raises: NotApproved."""
        with self._database.read() as tx:
            custodians = self._current(tx)
            if custodians is None:
                if wanted:
                    raise NotApproved(f"0 of {wanted} approvals: there are no custodians")
                return ()
            return self._verify_approved(tx, custodians, digest, max(wanted, custodians.threshold))

    def _current(self, tx: Transaction) -> CustodianSet | None:
        text = self._store.current(tx)
        return None if text is None else parse_custodians(text.encode("utf-8"))

    def _verify_approved(
        self, tx: Transaction, custodians: CustodianSet, digest: str, threshold: int
    ) -> tuple[str, ...]:
        by_key = {member.key_digest: member for member in custodians.members}
        approved: list[str] = []
        for key, signature in self._store.approvals(tx, digest):
            if key in by_key:
                verify_approval(by_key[key], digest, signature)
                approved.append(by_key[key].name)
        if len(approved) < threshold:
            raise NotApproved(f"{len(approved)} of {threshold} approvals: {', '.join(approved) or 'none'}")
        return tuple(sorted(approved))

    def _append(self, tx: Transaction, name: str, actor: str, detail: dict[str, str | int]) -> None:
        self._audit.append(tx, AuditEvent(name=name, actor=actor, outcome=Outcome.OK, detail=dict(detail)))


def _signer_of(custodians: CustodianSet, digest: str, signature: bytes) -> Custodian:
    for custodian in custodians.members:
        if _approves(custodian, digest, signature):
            return custodian
    raise ApprovalRefused("the signature is no custodian's over this file")


def _approves(custodian: Custodian, digest: str, signature: bytes) -> bool:
    try:
        verify_approval(custodian, digest, signature)
    except ApprovalRefused:
        return False
    return True


def _parse_member(member: _Member) -> Custodian:
    key = load_pem_public_key(member.public_key.encode("ascii"))
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise ValueError(f"{member.name}: neither RSA nor EC")
    try:
        key_algorithm_of(key)
    except KeyAlgorithmRefused as error:
        raise ValueError(f"{member.name}: a key of a refused size or curve") from error
    return Custodian(name=member.name, public_key=key)
