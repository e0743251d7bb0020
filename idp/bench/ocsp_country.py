"""What `ocsp` asks about: the certificates of a founded country, some of them revoked, and serials that never were."""

from base64 import b64encode
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import quote

from cryptography import x509

from ca_core.kernel.rng import system_rng
from ca_core.kernel.settings import load_settings
from ca_core.revocation import der
from ca_core.revocation.model import RevocationReason
from ca_core.status.ocsp_request import rfc5019_cert_id
from idp.bench.model import Country, FoundCountry, Plan
from idp.main.authority import CertificationAuthority

PERSONS = 50
_ACTOR = "system:bench"
_ISSUING = "citizen-g1"


class Expected(StrEnum):
    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An OCSP request and what the answer must say. in_path: the request as a GET's path has it."""

    request: bytes
    expected: Expected
    in_path: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "in_path", quote(b64encode(self.request).decode(), safe=""))


@dataclass(slots=True, kw_only=True)
class OcspCountry:
    """Call it as the `FoundCountry` of a bench; afterwards `issuer`, `good` and `revoked` are there."""

    found: FoundCountry
    issuer: x509.Certificate | None = None
    good: tuple[Asked, ...] = ()
    revoked: tuple[Asked, ...] = ()

    def __call__(self, plan: Plan) -> Country:
        country = self.found(replace(plan, citizens=PERSONS))
        ca = CertificationAuthority(load_settings(plan.folder / "citizenid.toml"))
        try:
            self._revoke_every_tenth(ca, country)
        finally:
            ca.database.dispose()
        return country

    def unknown(self) -> Asked:
        """About a serial that nobody issued, another each time: nothing of it can lie in a cache."""
        return Asked(request=self._request(int.from_bytes(system_rng(15), "big") + 1), expected=Expected.UNKNOWN)

    def _revoke_every_tenth(self, ca: CertificationAuthority, country: Country) -> None:
        authority = ca.registry.by_slug(_ISSUING)
        self.issuer = authority.certificate
        serials = []
        for card in country.cards:
            serial = x509.load_der_x509_certificate(card.certificate).serial_number
            with ca.database.read() as tx:
                issued = ca.certificates.find(tx, authority.id, serial)
                of_card = ca.certificates.by_card(tx, (issued and issued.card_number) or "")
            serials += [one.serial for one in of_card]
        revoked, good = serials[::10], [serial for place, serial in enumerate(serials) if place % 10]
        for serial in revoked:
            ca.revocation.revoke(authority.id, serial, RevocationReason.KEY_COMPROMISE, _ACTOR)
        self.good = tuple(Asked(request=self._request(serial), expected=Expected.GOOD) for serial in good)
        self.revoked = tuple(Asked(request=self._request(serial), expected=Expected.REVOKED) for serial in revoked)

    def _request(self, serial: int) -> bytes:
        if self.issuer is None:
            raise LookupError("the country is not founded yet")
        request = der.tlv(der.SEQUENCE, rfc5019_cert_id(self.issuer, serial))
        return der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, request)))
