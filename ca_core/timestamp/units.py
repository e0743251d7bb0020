"""Time-stamping keys: made here, certified by the authority, used without it."""

import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.authorities.model import Authority
from ca_core.issuance.errors import IssuanceRefused
from ca_core.issuance.model import IssuanceRequest
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database
from ca_core.kernel.rng import Rng
from ca_core.keys.errors import KeyNotFound
from ca_core.keys.model import KeyAlgorithm, PrivateKey
from ca_core.keys.ports import KeyStore
from ca_core.timestamp import store
from ca_core.timestamp.errors import UnitMissing
from ca_core.timestamp.model import TimestampSettings, TimestampUnit
from ca_core.timestamp.ports import Authorities, Issuer, Statuses

PROFILE = "time-stamping"
_RELOAD = timedelta(seconds=1)
_DEFAULTS = TimestampSettings()


@dataclass(frozen=True, slots=True)
class _Loaded:
    at: datetime
    unit: TimestampUnit | None


class TimestampUnits:
    """The unit that stamps now, from the database; looked up again when a second old, so a revoked one stops.

    keys: this role's own key store. authority: the slug of the one that certifies units.
    """

    def __init__(
        self,
        database: Database,
        authorities: Authorities,
        keys: KeyStore,
        statuses: Statuses,
        clock: Clock,
        *,
        authority: str,
        settings: TimestampSettings = _DEFAULTS,
    ) -> None:
        self._database = database
        self._authorities = authorities
        self._keys = keys
        self._statuses = statuses
        self._clock = clock
        self._authority = authority
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def current(self) -> TimestampUnit:
        """The newest one that is valid and not revoked and whose key is here. Raises: UnitMissing."""
        now = self._clock()
        loaded = self._loaded
        if loaded is None or not timedelta(0) <= now - loaded.at < _RELOAD:
            loaded = _Loaded(now, self._read(self._authorities.by_slug(self._authority), now))
            with self._lock:
                self._loaded = loaded
        unit = loaded.unit
        if unit is None or not unit.not_before <= now < unit.not_after:
            raise UnitMissing(self._authority)
        return unit

    def ensure(self, issuer: Issuer, rng: Rng, *, algorithm: KeyAlgorithm = KeyAlgorithm.P_256) -> bool:
        """Makes a unit where there is none, or the last has served its time or half its life; True where it did.

        What the worker calls every hour; harmless when several do. An authority whose key is away leaves one key and
        one request, which the next call goes on with. Raises: what the issuer raises.
        """
        authority = self._authorities.by_slug(self._authority)
        if PROFILE not in authority.profiles or not self._is_due(authority):
            return False
        label, key = self._open_order(authority) or self._new_order(authority, rng, algorithm)
        try:
            issued = issuer.issue(
                IssuanceRequest(
                    request_id=label,
                    profile=PROFILE,
                    authority=authority.slug,
                    public_key=key.public_key(),
                    actor="system:va",
                    common_name=f"Time Stamping Unit {authority.slug}",
                )
            )
        except IssuanceRefused:
            with self._database.write() as tx:
                store.refuse_order(tx, label, self._clock())
            raise
        der = issued.certificate.public_bytes(Encoding.DER)
        with self._database.write() as tx:
            store.complete_order(tx, label, issued.certificate_id, der)
        with self._lock:
            self._loaded = None
        return True

    def _is_due(self, authority: Authority) -> bool:
        now = self._clock()
        if authority.certificate.not_valid_after_utc <= now:
            return False
        unit = self._read(authority, now)
        if unit is None:
            return True
        half = (unit.not_after - unit.not_before) / 2
        return now > unit.not_before + min(half, self._settings.key_lifetime)

    def _open_order(self, authority: Authority) -> tuple[str, PrivateKey] | None:
        """An earlier one, if its key lies in this key store."""
        with self._database.read() as tx:
            labels = store.open_orders(tx, authority.id)
        for label in labels:
            with suppress(KeyNotFound):
                return label, self._keys.private_key(label)
        return None

    def _new_order(self, authority: Authority, rng: Rng, algorithm: KeyAlgorithm) -> tuple[str, PrivateKey]:
        label = f"tsa-{authority.slug[:40]}-{rng(6).hex()}"
        key = self._keys.generate(label, algorithm)
        with self._database.write() as tx:
            store.add_order(tx, authority.id, label, self._clock())
        return label, key

    def _read(self, authority: Authority, now: datetime) -> TimestampUnit | None:
        with self._database.read() as tx:
            rows = store.newest_units(tx, authority.id)
        for row in rows:
            certificate = x509.load_der_x509_certificate(row.certificate_der)
            if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
                continue
            try:
                key = self._keys.private_key(row.key_label)
            except KeyNotFound:  # another node's, whose keys lie elsewhere
                continue
            with self._database.read() as tx:
                is_good = self._statuses.status_of(tx, row.certificate_id).is_good
            if is_good:
                return TimestampUnit(
                    id=row.id,
                    authority=authority,
                    certificate_der=row.certificate_der,
                    not_before=certificate.not_valid_before_utc,
                    not_after=certificate.not_valid_after_utc,
                    private_key=key,
                )
        return None
