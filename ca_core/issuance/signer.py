"""The authorities' keys at work on recorded intents."""

from collections.abc import Sequence

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

    def __init__(self, registry: AuthorityRegistry, key_store: KeyStore, checkpoint: Checkpoint) -> None:
        self._registry = registry
        self._key_store = key_store
        self._checkpoint = checkpoint

    def sign(self, intents: Sequence[Intent]) -> list[Signature]:
        """In their order. A token that is gone fails all that follow it at once; their intents stay open."""
        keys: dict[int, tuple[AuthoritySigner, PrivateKey]] = {}
        gone: Unavailable | None = None
        outcomes: list[Signature] = []
        for intent in intents:
            if intent.completed_at is not None:
                outcomes.append(None)
                continue
            if gone is not None:
                outcomes.append(gone)
                continue
            try:
                if intent.authority_id not in keys:
                    keys[intent.authority_id] = self._key(intent.authority_id)
                signer, key = keys[intent.authority_id]
                outcomes.append((signer, assemble(intent.tbs, sign_tbs(intent.tbs, key))))
                self._checkpoint(Step.SIGNED)
            except Unavailable as error:
                gone = error
                outcomes.append(error)
            except (KeyStoreError, AuthorityNotFound, IssuanceFault) as error:
                outcomes.append(error)
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
