"""Delegated OCSP keys: made here, certified by the authority, used without it."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.authorities.model import Authority
from ca_core.issuance.errors import IssuanceRefused
from ca_core.issuance.model import IssuanceRequest
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Conflict, DomainError
from ca_core.kernel.rng import Rng
from ca_core.keys.errors import KeyNotFound
from ca_core.keys.model import KeyAlgorithm, PrivateKey, key_identifier
from ca_core.keys.ports import KeyStore
from ca_core.status import ocsp_store
from ca_core.status.errors import ResponderMissing
from ca_core.status.model import Responder
from ca_core.status.ports import Authorities, Issuer
from ca_core.status.service import StatusService

_RELOAD = timedelta(seconds=1)
_PROFILE = "ocsp-responder"


@dataclass(frozen=True, slots=True)
class _Loaded:
    at: datetime
    responder: Responder | None


class Responders:
    """The responder of each authority, from the database; looked up again when a second old.

    keys: this role's own key store, not the authorities'.
    """

    def __init__(
        self, database: Database, authorities: Authorities, keys: KeyStore, status: StatusService, clock: Clock
    ) -> None:
        self._database = database
        self._authorities = authorities
        self._keys = keys
        self._status = status
        self._clock = clock
        self._lock = threading.Lock()
        self._loaded: dict[int, _Loaded] = {}
        self._private_keys: dict[str, PrivateKey] = {}

    def current(self, authority_id: int) -> Responder:
        """The newest valid one that is not revoked. Raises: ResponderMissing."""
        now = self._clock()
        loaded = self._loaded.get(authority_id)
        if loaded is None or not timedelta(0) <= now - loaded.at < _RELOAD:
            loaded = _Loaded(now, self._read(authority_id, now))
            with self._lock:
                self._loaded[authority_id] = loaded
        responder = loaded.responder
        if responder is None or not responder.not_before <= now < responder.not_after:
            raise ResponderMissing(f"authority {authority_id}")
        return responder

    def ensure(
        self,
        issuer: Issuer,
        rng: Rng,
        *,
        algorithm: KeyAlgorithm = KeyAlgorithm.P_256,
        is_online: Callable[[Authority], bool] | None = None,
    ) -> list[str]:
        """Makes a responder for every authority that issues them and whose own has less than half of its life left.

        Returns the slugs of those that got one. What the worker calls every hour; harmless when several do.
        is_online: whether the authority's key can be used now; where it cannot, nothing is begun. An authority that
        turns out to be offline leaves one key and one intent, which the next call goes on with, however often that is.
        One that fails does not keep the others from theirs. Raises: the first of their errors, after all were tried.
        """
        made, errors = [], []
        for authority in self._authorities.all():
            if _PROFILE not in authority.profiles or not self._is_due(authority):
                continue
            if is_online is not None and not is_online(authority):
                continue
            try:
                self._make(authority, issuer, rng, algorithm)
            except KeyNotFound:
                continue
            except DomainError as error:
                errors.append(error)
            else:
                made.append(authority.slug)
        if errors:
            raise errors[0]
        return made

    def ending(self) -> dict[str, datetime]:
        """Those that are not renewed here and have less than a quarter of their life left: slug and notAfter."""
        now, found = self._clock(), {}
        for authority in self._authorities.all():
            responder = None if _PROFILE in authority.profiles else self._read(authority.id, now)
            if responder is not None and now > responder.not_after - (responder.not_after - responder.not_before) / 4:
                found[authority.slug] = responder.not_after
        return found

    def newest_end(self, authority_id: int) -> datetime | None:
        """notAfter of the newest certificate that this authority's responders have, None where there was none. Whether
        its key lies here is not asked."""
        with self._database.read() as tx:
            found = ocsp_store.newest_responders(tx, authority_id)
            return next((certificate.not_valid_after_utc for _, _, certificate in found), None)

    def _is_due(self, authority: Authority) -> bool:
        now = self._clock()
        if authority.certificate.not_valid_after_utc <= now:
            return False
        responder = self._read(authority.id, now)
        return responder is None or now > responder.not_before + (responder.not_after - responder.not_before) / 2

    def _make(self, authority: Authority, issuer: Issuer, rng: Rng, algorithm: KeyAlgorithm) -> None:
        """The order stands before the certificate is asked for: whoever dies in between, or waits for an authority
        whose key is away, goes on with the same key and the same request."""
        label, key = self._open_order(authority) or self._new_order(authority, rng, algorithm)
        try:
            issued = issuer.issue(
                IssuanceRequest(
                    request_id=label,
                    profile=_PROFILE,
                    authority=authority.slug,
                    public_key=key.public_key(),
                    actor="system:va",
                    common_name=f"OCSP Responder {authority.slug}",
                )
            )
        except IssuanceRefused:
            with self._database.write() as tx:
                ocsp_store.end_order(tx, label)
            raise
        with suppress(Conflict), self._database.write() as tx:  # another worker went on with the same order
            ocsp_store.end_order(tx, label)
            ocsp_store.add_responder(
                tx,
                authority.id,
                certificate_id=issued.certificate_id,
                key_label=label,
                certificate=issued.certificate.public_bytes(Encoding.DER),
                now=self._clock(),
            )
        with self._lock:
            self._private_keys[label] = key
            self._loaded.pop(authority.id, None)

    def _open_order(self, authority: Authority) -> tuple[str, PrivateKey] | None:
        """An earlier one, if its key lies in this key store."""
        with self._database.read() as tx:
            labels = ocsp_store.open_orders(tx, authority.id)
        for label in labels:
            try:
                return label, self._keys.private_key(label)
            except KeyNotFound:
                continue
        return None

    def _new_order(self, authority: Authority, rng: Rng, algorithm: KeyAlgorithm) -> tuple[str, PrivateKey]:
        label = f"ocsp-{authority.slug[:40]}-{rng(6).hex()}"
        key = self._keys.generate(label, algorithm)
        with self._database.write() as tx:
            ocsp_store.add_order(tx, authority.id, label, self._clock())
        return label, key

    def _read(self, authority_id: int, now: datetime) -> Responder | None:
        with self._database.read() as tx:
            newest = list(ocsp_store.newest_responders(tx, authority_id))
        for certificate_id, label, certificate in newest:
            if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
                continue
            try:
                key = self._private_key(label)
            except KeyNotFound:  # another node's, whose keys lie elsewhere
                continue
            with self._database.read() as tx:
                is_good = self._status.status_of(tx, certificate_id).is_good
            if is_good:
                return Responder(
                    authority_id=authority_id,
                    certificate_id=certificate_id,
                    certificate_der=certificate.public_bytes(Encoding.DER),
                    key_identifier=key_identifier(key.public_key()),
                    not_before=certificate.not_valid_before_utc,
                    not_after=certificate.not_valid_after_utc,
                    private_key=key,
                )
        return None

    def _private_key(self, label: str) -> PrivateKey:
        """Raises: KeyNotFound."""
        key = self._private_keys.get(label)
        if key is None:
            key = self._keys.private_key(label)
            with self._lock:
                if len(self._private_keys) > 256:
                    self._private_keys.clear()
                self._private_keys[label] = key
        return key
