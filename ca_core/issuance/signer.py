"""The authorities' keys at work on recorded intents."""

from collections.abc import Callable, Collection, Sequence

from ca_core.authorities.errors import AuthorityNotFound
from ca_core.authorities.model import AuthoritySigner
from ca_core.authorities.registry import AuthorityRegistry
from ca_core.issuance.checkpoint import Checkpoint, Step
from ca_core.issuance.errors import IssuanceFault
from ca_core.issuance.model import Intent
from ca_core.issuance.records import SignedIntent
from ca_core.issuance.signing import assemble, sign_tbs, verify_certificate, verify_same_key
from ca_core.kernel.errors import DomainError, Unavailable
from ca_core.keys.errors import KeyStoreError
from ca_core.keys.model import PrivateKey
from ca_core.keys.ports import KeyStore

Signature = tuple[AuthoritySigner, bytes] | DomainError | None
"""An authority and the assembled certificate that it signed, or why there is none; None for a completed intent."""


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
        waiting = [intent for intent in intents if intent.completed_at is None]
        keys: dict[int, tuple[AuthoritySigner, PrivateKey]] = {}
        refused: dict[int, DomainError] = {}
        for authority_id in dict.fromkeys(intent.authority_id for intent in waiting):
            try:
                keys[authority_id] = self._key(authority_id)
            except (Unavailable, KeyStoreError, AuthorityNotFound, IssuanceFault) as error:
                refused[authority_id] = error
        told = [intent for intent in waiting if intent.request_id in resumed and intent.authority_id in keys]
        if told:
            self._tell(told)
        gone: Unavailable | None = None
        outcomes: list[Signature] = []
        for intent in intents:
            away = refused.get(intent.authority_id, gone)
            if intent.completed_at is not None:
                outcomes.append(None)
            elif away is not None:
                outcomes.append(away)
            else:
                try:
                    signer, key = keys[intent.authority_id]
                    outcomes.append((signer, assemble(intent.tbs, sign_tbs(intent.tbs, key))))
                    self._checkpoint(Step.SIGNED)
                except Unavailable as failed:
                    gone = failed
                    outcomes.append(failed)
                except (KeyStoreError, IssuanceFault) as failed:
                    outcomes.append(failed)
        return outcomes

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
