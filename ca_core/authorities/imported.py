"""An authority that another house founded: recorded with its certificate, issuing nothing here but OCSP responders."""

from datetime import datetime
from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from ca_core.authorities.errors import AuthorityNotImported
from ca_core.authorities.model import AuthorityRole
from ca_core.authorities.store import AuthorityStore, CeremonyStore
from ca_core.kernel.database import Transaction
from ca_core.keys.model import PublicKey


class ImportedAuthorities:
    """Rows of authorities without a ceremony of ours; in the ceremony's place stands the certificate that was given.

    Where no key of that label is in the key store, its status can be changed and read, and its lists not be signed.
    """

    def __init__(self) -> None:
        self._authorities = AuthorityStore()
        self._ceremonies = CeremonyStore()

    def add(
        self,
        tx: Transaction,
        certificate: Certificate,
        public_key: PublicKey,
        *,
        slug: str,
        key_label: str,
        role: AuthorityRole,
        parent_id: int | None,
        actor: str,
        now: datetime,
    ) -> int:
        """Returns its id. It is no authority before `activate`. Raises: Conflict, for a slug, label or certificate that
        is here."""
        ceremony_id = self._ceremonies.add(
            tx,
            digest=_digest(certificate),
            title=f"import of {slug}",
            file=certificate.public_bytes(Encoding.PEM).decode("ascii"),
            held_by=actor,
            now=now,
        )
        self._ceremonies.complete(tx, ceremony_id, transcript="imported: its ceremony was held elsewhere", now=now)
        authority_id = self._authorities.add_pending(
            tx,
            slug=slug,
            role=role,
            key_label=key_label,
            parent_id=parent_id,
            ceremony_id=ceremony_id,
            profiles=frozenset(),
        )
        self._authorities.set_key(tx, authority_id, public_key)
        return authority_id

    def activate(
        self, tx: Transaction, authority_id: int, certificate: Certificate, certificate_id: int, now: datetime
    ) -> None:
        """From now on it is found by its key."""
        self._authorities.activate(
            tx,
            authority_id,
            certificate=certificate.public_bytes(Encoding.DER),
            certificate_id=certificate_id,
            now=now,
        )

    def permit(self, tx: Transaction, authority_id: int, certificate: Certificate, profiles: frozenset[str]) -> bool:
        """Lets it issue those profiles alone. False where it could. Raises: AuthorityNotImported."""
        if self._ceremonies.find(tx, _digest(certificate)) is None:
            raise AuthorityNotImported("its ceremony says what it issues")
        return self._authorities.set_profiles(tx, authority_id, profiles)


def _digest(certificate: Certificate) -> str:
    return sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
