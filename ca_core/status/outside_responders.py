"""OCSP responders of authorities whose key is in another house: a request goes out, a certificate comes in."""

from contextlib import suppress
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca_core.audit.model import AuditEvent, Outcome
from ca_core.audit.service import AuditLog
from ca_core.authorities.model import Authority
from ca_core.issuance.handed_over import is_issued_by, read_certificate
from ca_core.issuance.past import ForeignCertificate, PastCertificates
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.errors import Conflict
from ca_core.kernel.rng import Rng
from ca_core.keys.errors import KeyNotFound
from ca_core.keys.model import KeyAlgorithm, PublicKey, spki_octets
from ca_core.keys.ports import KeyStore
from ca_core.status import ocsp_store
from ca_core.status.errors import ResponderRefused
from ca_core.status.ports import Authorities

_PROFILE = "ocsp-responder"


class OutsideResponders:
    """What `Responders` then uses like its own (RFC 6960 s4.2.2.2).

    keys: those of the role that answers OCSP; the key is made there and stays there.
    """

    def __init__(
        self,
        database: Database,
        authorities: Authorities,
        keys: KeyStore,
        past: PastCertificates,
        audit: AuditLog,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._database = database
        self._authorities = authorities
        self._keys = keys
        self._past = past
        self._audit = audit
        self._clock = clock
        self._rng = rng

    def request(self, slug: str, *, algorithm: KeyAlgorithm = KeyAlgorithm.P_256) -> bytes:
        """The PKCS#10 request in PEM, for that authority's house. The same key again while no certificate came in.

        Raises: AuthorityNotFound; ResponderRefused, for an authority that certifies its responders here; Unavailable.
        """
        authority = self._outside(slug)
        with self._database.read() as tx:
            labels = ocsp_store.open_orders(tx, authority.id)
        for label in labels:
            with suppress(KeyNotFound):  # another node's
                return self._signed_request(authority, label)
        label = f"ocsp-{slug[:40]}-{self._rng(6).hex()}"
        self._keys.generate(label, algorithm)
        with self._database.write() as tx:
            ocsp_store.add_order(tx, authority.id, label, self._clock())
        return self._signed_request(authority, label)

    def accept(self, octets: bytes, slug: str, *, actor: str) -> x509.Certificate:
        """Takes in the certificate that came back, DER or PEM; OCSP is answered with it within a second. The same
        certificate again changes nothing.

        1. A certificate for OCSP signing alone, valid now. 2. Signed by that authority's key. 3. Its key is one that
        `request` made. 4. Its serial is free, or it is known already. Raises: AuthorityNotFound; ResponderRefused,
        with the reason, and nothing was written; SecondPlaceUnavailable.
        """
        authority = self._outside(slug)
        certificate, public_key = self._parse(octets)
        if not is_issued_by(certificate, authority.certificate):
            raise ResponderRefused(f"{slug} did not issue it")
        if self._is_here(authority, certificate):
            return certificate
        try:
            label = self._label_of(public_key, authority)
            with self._database.write() as tx:
                self._record(tx, authority, certificate, public_key, label, actor)
        except (Conflict, ResponderRefused) as error:
            if self._is_here(authority, certificate):  # somebody else brought it meanwhile
                return certificate
            if isinstance(error, ResponderRefused):
                raise
            raise ResponderRefused("another certificate of its key came in meanwhile") from error
        return certificate

    def _is_here(self, authority: Authority, certificate: x509.Certificate) -> bool:
        with self._database.read() as tx:
            return any(known == certificate for _, _, known in ocsp_store.newest_responders(tx, authority.id))

    def _outside(self, slug: str) -> Authority:
        authority = self._authorities.by_slug(slug)
        if _PROFILE in authority.profiles:
            raise ResponderRefused(f"{slug} certifies its responders here")
        return authority

    def _signed_request(self, authority: Authority, label: str) -> bytes:
        key = self._keys.private_key(label)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"OCSP Responder {authority.slug}")])
        builder = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(name)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
            .add_extension(x509.OCSPNoCheck(), critical=False)
        )
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _parse(self, octets: bytes) -> tuple[x509.Certificate, PublicKey]:
        try:
            certificate, public_key = read_certificate(octets)
        except ValueError as error:
            raise ResponderRefused(str(error)) from error
        extensions = [(one.value, one.critical) for one in certificate.extensions]
        values = {type(value): value for value, _ in extensions}
        purposes = values.get(x509.ExtendedKeyUsage)
        if not isinstance(purposes, x509.ExtendedKeyUsage) or list(purposes) != [ExtendedKeyUsageOID.OCSP_SIGNING]:
            raise ResponderRefused("its extended key usage is not OCSP signing alone")
        constraints, usage = values.get(x509.BasicConstraints), values.get(x509.KeyUsage)
        if isinstance(constraints, x509.BasicConstraints) and constraints.ca:
            raise ResponderRefused("a CA's certificate")
        if isinstance(usage, x509.KeyUsage) and not usage.digital_signature:
            raise ResponderRefused("its key usage is not digitalSignature")
        if any(is_critical and isinstance(value, x509.UnrecognizedExtension) for value, is_critical in extensions):
            raise ResponderRefused("a critical extension that is not known")
        if not certificate.not_valid_before_utc <= self._clock() < certificate.not_valid_after_utc:
            raise ResponderRefused("not valid now")
        return certificate, public_key

    def _label_of(self, public_key: PublicKey, authority: Authority) -> str:
        with self._database.read() as tx:
            labels = ocsp_store.open_orders(tx, authority.id)
        for label in labels:
            with suppress(KeyNotFound):
                if spki_octets(self._keys.private_key(label).public_key()) == spki_octets(public_key):
                    return label
        raise ResponderRefused("no key here waits for it: send the request that this deployment made")

    def _record(
        self,
        tx: Transaction,
        authority: Authority,
        certificate: x509.Certificate,
        public_key: PublicKey,
        label: str,
        actor: str,
    ) -> None:
        now, der = self._clock(), certificate.public_bytes(Encoding.DER)
        recorded = self._past.find(tx, authority.id, certificate.serial_number)
        if recorded is None:
            if self._past.is_serial_taken(tx, authority.id, certificate.serial_number):
                raise ResponderRefused("its serial was used before")
            own = ForeignCertificate(
                authority_id=authority.id,
                certificate=certificate,
                der=der,
                public_key=public_key,
                profile=_PROFILE,
                person_id=None,
                card_number=None,
                holder=sha256(f"responder {label}".encode("ascii")).hexdigest(),
            )
            self._past.add_all(tx, [own], actor=actor, now=now)
            recorded = self._past.find(tx, authority.id, certificate.serial_number)
        if recorded is None or recorded.der != der:
            raise ResponderRefused("its serial is another certificate's")
        ocsp_store.end_order(tx, label)
        ocsp_store.add_responder(
            tx,
            authority.id,
            certificate_id=recorded.certificate_id,
            key_label=label,
            certificate=der,
            now=now,
        )
        event = AuditEvent(
            name="ocsp.responder_accepted",
            actor=actor,
            outcome=Outcome.OK,
            subject=f"authority:{authority.id}",
            detail={"digest": sha256(der).hexdigest()},
        )
        self._audit.append(tx, event)
