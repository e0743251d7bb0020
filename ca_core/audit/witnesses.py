"""Outside witnesses: who they are, and their cosignatures over our checkpoints."""

from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from ca_core.audit import tree_store
from ca_core.audit.checkpoint import parse_checkpoint
from ca_core.audit.errors import NoteRefused, WitnessRefused
from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.note import (
    COSIGNATURE_V1,
    MAX_NOTE_BYTES,
    NoteSignature,
    VerifierKey,
    parse_note,
    parse_signature_line,
    parse_verifier_key,
    verify_cosignature,
)
from ca_core.audit.published import PublishedLog
from ca_core.audit.service import AuditLog
from ca_core.audit.tree_store import StoredCheckpoint
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Conflict

_AHEAD = timedelta(minutes=5)
"""How far a witness's clock may be before ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    id: int
    key: VerifierKey
    added_at: datetime
    retired_at: datetime | None


class Witnesses:
    """The register of witnesses and what they cosigned."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def all(self) -> list[Witness]:
        with self._database.read() as tx:
            return _witnesses(tx)

    def add(self, verifier_key: str, actor: str) -> Witness:
        """Registers a witness by its key. Raises: NoteRefused; WitnessRefused, where name or key is registered."""
        key = parse_verifier_key(verifier_key)
        if key.kind != COSIGNATURE_V1 or len(key.name) > 255:
            raise NoteRefused("not a key for cosignatures")
        try:
            with self._database.write() as tx:
                if any(known.key.name == key.name and known.retired_at is None for known in _witnesses(tx)):
                    raise WitnessRefused(f"{key.name} is registered")
                tree_store.add_witness(tx, key.name, key.text, self._clock())
                self._record(tx, "audit.witness_added", actor, key)
                return next(known for known in _witnesses(tx) if known.key == key)
        except Conflict as error:
            raise WitnessRefused("the key is registered") from error

    def retire(self, name: str, actor: str) -> None:
        """Takes no more cosignatures of a witness; those that it made stay. Raises: WitnessRefused."""
        with self._database.write() as tx:
            known = [witness for witness in _witnesses(tx) if witness.key.name == name and witness.retired_at is None]
            if not known or tree_store.retire_witness(tx, name, self._clock()) != 1:
                raise WitnessRefused(f"{name} is not registered")
            self._record(tx, "audit.witness_retired", actor, known[0].key)

    def accept_note(self, octets: bytes) -> list[str]:
        """Records the cosignatures on one of our checkpoints (untrusted), and returns the names of their witnesses.

        Signatures of unknown keys are passed over; one of a known key that is wrong refuses the whole.
        Raises: NoteRefused; WitnessRefused, where it is no checkpoint of ours or holds no known cosignature.
        """
        note = parse_note(octets)
        return self._accept(parse_checkpoint(note.text).size, note.text, note.signatures)

    def accept_lines(self, size: int, octets: bytes) -> list[str]:
        """The same for a witness's answer to `request`: signature lines over the checkpoint of that size."""
        if len(octets) > MAX_NOTE_BYTES:
            raise NoteRefused("too long")
        try:
            rows = octets.decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise NoteRefused("not UTF-8") from error
        return self._accept(size, None, tuple(parse_signature_line(row) for row in rows if row))

    def request(self, old_size: int) -> tuple[int, bytes]:
        """What a witness that knows the tree of `old_size` is asked with, by POST to its `add-checkpoint`.

        Returns the new size and the body. Raises: ProofRefused.  Spec: c2sp.org/tlog-witness.
        """
        proof, checkpoint = PublishedLog(self._database).consistency(old_size)
        lines = "".join(f"{b64encode(node).decode('ascii')}\n" for node in proof)
        size = parse_checkpoint(parse_note(checkpoint).text).size
        return size, f"old {old_size}\n{lines}\n".encode() + checkpoint

    def _accept(self, size: int, text: str | None, signatures: tuple[NoteSignature, ...]) -> list[str]:
        with self._database.read() as tx:
            stored = tree_store.checkpoint(tx, size)
            known = [witness for witness in _witnesses(tx) if witness.retired_at is None]
        if stored is None or text not in (None, _text_of(stored)):
            raise WitnessRefused("not a checkpoint of this log, or one that waits for no cosignature any more")
        found: dict[int, tuple[Witness, NoteSignature, datetime]] = {}
        for signature in signatures:
            for witness in known:
                if witness.key.made(signature):
                    at = verify_cosignature(_text_of(stored), signature, witness.key)
                    if at > self._clock() + _AHEAD:
                        raise NoteRefused("the cosignature is of the future")
                    found[witness.id] = (witness, signature, at)
        if not found:
            raise WitnessRefused("no cosignature of a registered witness")
        for witness, signature, at in found.values():
            with suppress(Conflict), self._database.write() as tx:
                if not tree_store.has_cosigned(tx, size, witness.id):
                    tree_store.add_cosignature(tx, size, witness.id, signature.line, at)
        return [witness.key.name for witness, _, _ in found.values()]

    def _record(self, tx: Transaction, name: str, actor: str, key: VerifierKey) -> None:
        detail = {"witness": key.name, "key_id": key.key_id.hex()}
        self._audit.append(tx, AuditEvent(name=name, actor=actor, outcome=Outcome.OK, detail=detail))


def _text_of(stored: StoredCheckpoint) -> str:
    return parse_note(stored.note.encode()).text


def _witnesses(tx: Transaction) -> list[Witness]:
    return [
        Witness(id=row.id, key=parse_verifier_key(row.verifier_key), added_at=row.added_at, retired_at=row.retired_at)
        for row in tree_store.all_witnesses(tx)
    ]
