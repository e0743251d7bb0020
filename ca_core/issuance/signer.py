"""The authorities' keys at work on recorded intents."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import rsa

from ca_core.authorities.errors import AuthorityNotFound
from ca_core.authorities.model import STILL_ISSUED, AuthoritySigner
from ca_core.authorities.registry import AuthorityRegistry
from ca_core.issuance.checkpoint import Checkpoint, Step
from ca_core.issuance.errors import IssuanceFault, IssuerNotValid
from ca_core.issuance.model import Intent
from ca_core.issuance.records import SignedIntent
from ca_core.issuance.signing import assemble, sign_tbs, verify_certificate, verify_same_key
from ca_core.kernel.errors import DomainError, Unavailable
from ca_core.kernel.turns import short_turns
from ca_core.keys.errors import KeyStoreError
from ca_core.keys.model import PrivateKey
from ca_core.keys.ports import KeyStore

Signature = tuple[AuthoritySigner, bytes] | DomainError | None
"""An authority and the assembled certificate that it signed, or why there is none; None for a completed intent."""


HELPERS = 2
"""Threads that sign beside the one that draws up. It signs too when it has nothing else to do."""


@dataclass(slots=True, kw_only=True)
class SigningWork:
    """A batch's intents, dealt out to threads. positions: of those that nobody has begun; outcomes: of all.

    takes_long: whether a signature is worth a thread of its own. failed: why nothing is signed of the whole batch.
    """

    intents: Sequence[Intent]
    keys: dict[int, tuple[AuthoritySigner, PrivateKey]]
    outcomes: list[Signature]
    takes_long: bool = False
    failed: DomainError | None = None
    positions: deque[int] = field(default_factory=deque)
    threads: list[Future[None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_position(self) -> int | None:
        with self._lock:
            return self.positions.popleft() if self.positions else None

    def stop(self, position: int | None, reason: Unavailable) -> None:
        """The one that failed, and all that nobody has begun, have that outcome."""
        with self._lock:
            for left in self.positions if position is None else (position, *self.positions):
                self.outcomes[left] = reason
            self.positions.clear()


class IntentSigner:
    """Signs exactly the octets of intents, whole batches of them."""

    def __init__(
        self,
        registry: AuthorityRegistry,
        key_store: KeyStore,
        checkpoint: Checkpoint,
        tell: Callable[[Sequence[Intent]], None],
    ) -> None:
        """tell: writes the audit event of intents that stood before and are about to be signed."""
        self._registry = registry
        self._key_store = key_store
        self._checkpoint = checkpoint
        self._tell = tell

    def sign(self, intents: Sequence[Intent], resumed: Collection[str] = ()) -> list[Signature]:
        """In their order. A token that goes away fails all that follow it at once; their intents stay open.

        resumed: request ids of those that are told of again; where a key is away, nothing is told and nothing signed.
        Raises: AuditUnavailable; then nothing was signed.
        """
        work = self.prepared(intents, resumed)
        if work.failed is not None:
            raise work.failed
        self.sign_next(work)
        return work.outcomes

    @contextmanager
    def line(self) -> Iterator["SigningLine"]:
        """For batch after batch, which threads sign beside whoever draws up the next, until the end of the `with`."""
        with ThreadPoolExecutor(max_workers=HELPERS, thread_name_prefix="signing") as pool:
            yield SigningLine(self, pool)

    def prepared(self, intents: Sequence[Intent], resumed: Collection[str]) -> SigningWork:
        """What can be signed of it now. The intents of an authority whose key is away stay open, and those of one that
        was revoked or suspended since they were recorded, but for its OCSP responders'."""
        waiting = [intent for intent in intents if intent.completed_at is None]
        keys: dict[int, tuple[AuthoritySigner, PrivateKey]] = {}
        refused: dict[int, DomainError] = {}
        for authority_id in dict.fromkeys(intent.authority_id for intent in waiting):
            try:
                keys[authority_id] = self._key(authority_id)
            except (Unavailable, KeyStoreError, AuthorityNotFound, IssuanceFault) as error:
                refused[authority_id] = error
        work = SigningWork(intents=intents, keys=keys, outcomes=[None] * len(intents))
        work.takes_long = any(isinstance(key, rsa.RSAPrivateKey) for _, key in keys.values())
        held = {intent.request_id for intent in waiting if _is_held(intent, keys)}
        told = [
            intent
            for intent in waiting
            if intent.request_id in resumed and intent.authority_id in keys and intent.request_id not in held
        ]
        try:
            if told:
                self._tell(told)
        except DomainError as error:
            work.failed = error
            return work
        for position, intent in enumerate(intents):
            if intent.completed_at is None:
                away = refused.get(intent.authority_id)
                if away is not None:
                    work.outcomes[position] = away
                elif intent.request_id in held:
                    work.outcomes[position] = IssuerNotValid("the authority's certificate is revoked or suspended")
                else:
                    work.positions.append(position)
        return work

    def sign_next(self, work: SigningWork) -> None:
        """Signs one intent after the other until none is left; several threads share them."""
        try:
            while (position := work.next_position()) is not None:
                intent = work.intents[position]
                signer, key = work.keys[intent.authority_id]
                try:
                    work.outcomes[position] = (signer, assemble(intent.tbs, sign_tbs(intent.tbs, key)))
                except Unavailable as failed:
                    work.stop(position, failed)
                    return
                except (KeyStoreError, IssuanceFault) as failed:
                    work.outcomes[position] = failed
                else:
                    self._checkpoint(Step.SIGNED)
        except BaseException:
            work.stop(None, Unavailable("another signature of the batch ended it"))
            raise

    def verified(self, intent: Intent, signer: AuthoritySigner, octets: bytes) -> SignedIntent:
        """The certificate, read back and verified. Raises: IssuanceFault."""
        certificate = verify_certificate(octets, tbs=intent.tbs, serial=intent.serial, public_key=signer.public_key)
        self._checkpoint(Step.VERIFIED)
        return SignedIntent(intent=intent, authority=signer.slug, certificate=certificate, der=octets)

    def _key(self, authority_id: int) -> tuple[AuthoritySigner, PrivateKey]:
        signer = self._registry.signer_by_id(authority_id)
        key = self._key_store.private_key(signer.key_label)
        verify_same_key(key, signer.public_key)
        return signer, key


def _is_held(intent: Intent, keys: Mapping[int, tuple[AuthoritySigner, PrivateKey]]) -> bool:
    """Whether its authority was revoked or suspended since, and so does not issue that profile (any more)."""
    found = keys.get(intent.authority_id)
    return found is not None and not found[0].is_good and intent.profile not in STILL_ISSUED


class SigningLine:
    """Batches that threads sign in the order in which they were begun.

    RSA takes milliseconds outside the interpreter, so it has several threads, the caller's among them once it waits.
    Handing an ECDSA signature over takes as long as the signature: it has one, and the caller draws up meanwhile.
    """

    def __init__(self, signer: IntentSigner, pool: Executor) -> None:
        self._signer = signer
        self._pool = pool

    def begin(self, intents: Sequence[Intent], resumed: Collection[str] = ()) -> SigningWork:
        """As `IntentSigner.sign` does, without waiting; `finish` tells what came of it."""
        work = self._signer.prepared(intents, resumed)
        for _ in range(min(HELPERS if work.takes_long else 1, len(work.positions))):
            work.threads.append(self._pool.submit(self._help, work))
        return work

    def finish(self, work: SigningWork) -> list[Signature]:
        """Nothing of it is signed once this has returned. Raises: AuditUnavailable; then nothing was."""
        if work.failed is not None:
            raise work.failed
        try:
            if work.takes_long:
                self._signer.sign_next(work)
        finally:
            wait(work.threads)
        for thread in work.threads:
            thread.result()
        return work.outcomes

    def _help(self, work: SigningWork) -> None:
        with short_turns() if work.takes_long else nullcontext():
            self._signer.sign_next(work)
