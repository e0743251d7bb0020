"""What the provider's features asked for in their ports, from the certification authority's services."""

from collections import OrderedDict
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.issuance.store import CertificateStore
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.registration.model import Person
from ca_core.registration.store import PersonStore
from ca_core.status.model import is_good_after
from ca_core.validation.model import Purpose, ValidatedCertificate
from ca_core.validation.service import CertificateValidator
from idp.claims.ports import CertificateRecord

_KEPT = 65_536


class LoginCertificates:
    """`idp.authn.card`: the validator, in the login's own transaction."""

    def __init__(self, validator: CertificateValidator) -> None:
        self._validator = validator

    def verify_for_login(self, tx: Transaction, unverified_certificate: bytes) -> ValidatedCertificate:
        return self._validator.verify_in(tx, unverified_certificate, Purpose.LOGIN)


class RegisteredPersons:
    """`idp.authn.card`: the register, in the login's own transaction."""

    def __init__(self) -> None:
        self._store = PersonStore()

    def find(self, tx: Transaction, person_id: str) -> Person | None:
        return self._store.find(tx, person_id)


class GoodCertificates:
    """`idp.sessions`: whether the certificate behind a session is good now.

    Its end of validity never changes once issued, so that is kept; its status is what the caller read just now.
    """

    def __init__(self, certificates: CertificateStore, clock: Clock) -> None:
        self._certificates = certificates
        self._clock = clock
        self._ends: OrderedDict[int, datetime] = OrderedDict()

    def is_good(self, tx: Transaction, certificate_id: int, latest_change: str) -> bool:
        end = self._ends.get(certificate_id) or self._read_end(tx, certificate_id)
        return end is not None and self._clock() < end and is_good_after(latest_change)

    def _read_end(self, tx: Transaction, certificate_id: int) -> datetime | None:
        issued = self._certificates.by_id(tx, certificate_id)
        if issued is None:
            return None
        end = self._ends[certificate_id] = issued.certificate.not_valid_after_utc
        if len(self._ends) > _KEPT:
            self._ends.pop(next(iter(self._ends)), None)
        return end


class IssuedCertificates:
    """`idp.claims`: the certificate itself, for clients that may be told."""

    def __init__(self, database: Database, certificates: CertificateStore) -> None:
        self._database = database
        self._certificates = certificates

    def find(self, certificate_id: int) -> CertificateRecord | None:
        with self._database.read() as tx:
            issued = self._certificates.by_id(tx, certificate_id)
        if issued is None:
            return None
        return CertificateRecord(der=issued.certificate.public_bytes(Encoding.DER), serial=issued.serial)
