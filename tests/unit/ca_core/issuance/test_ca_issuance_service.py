"""Issuing: what comes out, what is refused with nothing written, and what a fault leaves behind."""

from collections.abc import Callable
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.authorities import AuthorityNotFound
from ca_core.issuance import (
    IssuanceRequest,
    KeyBlocked,
    KeyRefused,
    KeyReused,
    PossessionNotProven,
    ProfileNotAllowed,
    RequestIdReused,
    RequestMalformed,
)
from ca_core.issuance.errors import IssuerNotValid
from ca_core.issuance.store import CertificateStore
from ca_core.kernel.database import Database
from ca_core.kernel.errors import ConfigurationError, DomainError
from ca_core.keys import KeyAlgorithm, key_identifier
from ca_core.revocation import RevocationReason, RevocationService
from support.fakes import FakeClock, SeededRng
from support.issuance_rows import counts
from support.pki import (
    CITIZEN_PROFILES,
    PUBLICATION_URL,
    World,
    ceremony,
    certification_request,
    citizen_request,
    new_key,
)


def refuses(database: Database, world: World, request: IssuanceRequest, error: type[DomainError]) -> DomainError:
    """Asserts that the request is refused with that error and that nothing was written."""
    before = counts(database)
    with pytest.raises(error) as refused:
        world.issuance.issue(request)
    assert counts(database) == before
    assert type(refused.value) is error
    return refused.value


# What comes out


def test_the_certificate_says_what_was_asked(world: World, clock: FakeClock) -> None:
    key = new_key()
    issued = world.issuance.issue(citizen_request(key=key))
    certificate = issued.certificate
    authority = world.registry.by_slug("citizen-g1")
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.issuer.public_bytes() == authority.certificate.subject.public_bytes()
    assert [(a.oid, a.value, a._type.name) for a in certificate.subject] == [
        (x509.NameOID.COUNTRY_NAME, "TW", "PrintableString"),
        (x509.NameOID.COMMON_NAME, "王小明", "UTF8String"),
        (x509.NameOID.SERIAL_NUMBER, "0000000112345678", "PrintableString"),
    ]
    assert all(len(rdn) == 1 for rdn in certificate.subject.rdns)
    assert certificate.public_key() == key.public_key()
    assert certificate.serial_number == issued.serial
    assert certificate.not_valid_before_utc == clock.now
    assert (issued.profile, issued.person_id, issued.card_number) == (
        "citizen-authentication",
        "person-1",
        "1234567890123456",
    )
    assert issued.authority_id == authority.id


@pytest.mark.filterwarnings("ignore:Attribute's length must be")  # cryptography counts octets, X.520 characters
@pytest.mark.parametrize("name", ["瓦" * 64, "瓦歷斯·諾幹 Walis Nokan", "𠀀" * 22, "O'Brien-王 (阿明)"])
def test_long_and_unusual_names(world: World, name: str) -> None:
    certificate = world.issuance.issue(citizen_request(common_name=name)).certificate
    assert [a.value for a in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)] == [name]


def test_extensions_stand_in_the_profiles_order(world: World) -> None:
    certificate = world.issuance.issue(citizen_request()).certificate
    authority = world.registry.by_slug("citizen-g1")
    found = [(extension.oid.dotted_string, extension.critical) for extension in certificate.extensions]
    assert found == [
        ("2.5.29.35", False),
        ("2.5.29.14", False),
        ("2.5.29.15", True),
        ("2.5.29.37", False),
        ("2.5.29.31", False),
        ("2.5.29.46", False),
        ("1.3.6.1.5.5.7.1.1", False),
        ("2.5.29.32", False),
        ("2.5.29.9", False),
    ]
    aki = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert (aki.key_identifier, aki.authority_cert_issuer) == (authority.key_identifier, None)
    crl = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for point in crl for name in point.full_name or ()] == [f"{PUBLICATION_URL}/crl/citizen-g1.crl"]
    access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert [place.access_location.value for place in access] == [
        f"{PUBLICATION_URL}/ca/citizen-g1.cer",
        f"{PUBLICATION_URL}/ocsp",
    ]


def test_directory_attributes_hold_the_subject_type_and_four_digits(world: World) -> None:
    certificate = world.issuance.issue(citizen_request()).certificate
    value = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier("2.5.29.9")).value
    assert isinstance(value, x509.UnrecognizedExtension)
    subject_type = "3015060760867601640201310a06086086760164030101"  # an object identifier
    last4 = "30110607608676016402333106130436373839"  # a PrintableString
    assert value.value.hex() == "302a" + subject_type + last4


def test_an_encryption_certificates_usage_follows_its_key(world: World) -> None:
    for algorithm, agreement in ((KeyAlgorithm.P_256, True), (KeyAlgorithm.RSA_2048, False)):
        request = citizen_request(f"r-{algorithm}", profile="citizen-encryption", key=new_key(algorithm))
        usage = world.issuance.issue(request).certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (usage.key_agreement, usage.key_encipherment, usage.data_encipherment) == (
            agreement,
            not agreement,
            not agreement,
        )
        assert not usage.digital_signature


def test_it_is_found_by_serial_id_request_card_and_person(database: Database, world: World) -> None:
    issued = [
        world.issuance.issue(citizen_request(f"r{i}", profile=profile, key=new_key(KeyAlgorithm.RSA_2048)))
        for i, profile in enumerate(CITIZEN_PROFILES[:3])
    ]
    other = world.issuance.issue(citizen_request("other", card_number="6543210987654321", person_id="person-2"))
    store = CertificateStore()
    with database.read() as tx:
        assert store.find(tx, issued[0].authority_id, issued[0].serial) == issued[0]
        assert store.find(tx, issued[0].authority_id + 1, issued[0].serial) is None
        assert store.find(tx, issued[0].authority_id, issued[0].serial + 1) is None
        assert store.by_id(tx, other.certificate_id) == other
        assert store.by_id(tx, 10**9) is None
        assert store.by_request(tx, "r1") == issued[1]
        assert store.by_card(tx, "1234567890123456") == issued
        assert store.by_person(tx, "person-2") == [other]


def test_issuance_is_audited_without_the_persons_data(database: Database, world: World) -> None:
    issued = world.issuance.issue(citizen_request())
    with database.read() as tx:
        event = world.audit.recent(tx, limit=1)[0]
    assert (event.name, event.outcome, event.actor) == ("certificate.issued", "ok", "operator:1")
    assert (event.subject, event.request_id) == (f"certificate:{issued.certificate_id}", "request-1")
    assert "citizen-authentication" in event.detail and "citizen-g1" in event.detail
    assert "6789" not in event.detail and "王" not in event.detail


def test_two_generations_of_one_name_issue_side_by_side(world: World) -> None:
    first = world.issuance.issue(citizen_request("r1", authority="citizen-g1"))
    second = world.issuance.issue(citizen_request("r2", authority="citizen-g2"))
    assert first.certificate.issuer.public_bytes() == second.certificate.issuer.public_bytes()
    first.certificate.verify_directly_issued_by(world.registry.by_slug("citizen-g1").certificate)
    second.certificate.verify_directly_issued_by(world.registry.by_slug("citizen-g2").certificate)
    assert first.authority_id != second.authority_id


def test_two_generations_may_use_the_same_serial(database: Database, clock: FakeClock, world: World) -> None:
    class Constant:
        def __call__(self, size_bytes: int) -> bytes:
            return b"\x11" * size_bytes

    same = World(database, clock, Constant(), key_store=world.key_store)
    first = same.issuance.issue(citizen_request("r1", authority="citizen-g1"))
    second = same.issuance.issue(citizen_request("r2", authority="citizen-g2"))
    assert first.serial == second.serial
    store = CertificateStore()
    with database.read() as tx:
        assert store.find(tx, first.authority_id, first.serial) == first
        assert store.find(tx, second.authority_id, second.serial) == second


def test_the_internal_servers_certificate_may_name_localhost(world: World) -> None:
    request = server_request("tls", ("localhost", "idp.example.tw"))
    certificate = world.issuance.issue(request).certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "idp.example.tw"]


def server_request(request_id: str, dns_names: tuple[str, ...], common_name: str = "server") -> IssuanceRequest:
    return citizen_request(
        request_id,
        profile="internal-tls",
        common_name=common_name,
        dns_names=dns_names,
        subject_serial_number=None,
        national_id_last4=None,
        person_id=None,
        card_number=None,
    )


def responder_request(request_id: str, key: ec.EllipticCurvePrivateKey, name: str = "OCSP 1") -> IssuanceRequest:
    return citizen_request(
        request_id,
        profile="ocsp-responder",
        key=key,
        common_name=name,
        subject_serial_number=None,
        national_id_last4=None,
        person_id=None,
        card_number=None,
        csr=None,
    )


def test_a_responders_name_begins_with_its_authoritys(world: World) -> None:
    certificate = world.issuance.issue(responder_request("r", cast(ec.EllipticCurvePrivateKey, new_key()))).certificate
    authority = world.registry.by_slug("citizen-g1").certificate
    assert list(certificate.subject)[:3] == list(authority.subject)
    assert certificate.extensions.get_extension_for_class(x509.OCSPNoCheck)
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(usages.value) == [x509.ObjectIdentifier("1.3.6.1.5.5.7.3.9")]


# Idempotency


def test_the_same_request_again_gets_the_same_certificate(database: Database, world: World, clock: FakeClock) -> None:
    key = new_key()
    first = world.issuance.issue(citizen_request(key=key))
    before = counts(database)
    clock.advance(86_400)
    again = world.issuance.issue(citizen_request(key=key, actor="operator:2"))  # a fresh proof, another officer
    assert again == first
    assert counts(database) == before


@pytest.mark.parametrize(
    "change",
    [
        {"common_name": "王大明"},
        {"subject_serial_number": "0000000112345679"},
        {"national_id_last4": "6780"},
        {"person_id": "person-2"},
        {"card_number": "1234567890123457"},
        {"profile": "citizen-signature"},
        {"authority": "citizen-g2"},
        {"key": new_key()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_content_under_the_same_id_is_refused(
    database: Database, world: World, change: dict[str, object]
) -> None:
    key = new_key()
    world.issuance.issue(citizen_request(key=key))
    request = citizen_request(**{"key": key, **change})  # type: ignore[arg-type]  # one of the named fields
    refuses(database, world, request, RequestIdReused)


# Refusals: each leaves nothing written


@pytest.mark.parametrize("request_id", ["", "a b", "a" * 65, "ä", "\n"])
def test_a_malformed_request_id(database: Database, world: World, request_id: str) -> None:
    refuses(database, world, citizen_request(request_id), RequestMalformed)


@pytest.mark.parametrize(
    "request_", [citizen_request(actor="operator:A123456789"), citizen_request("x:A123456789")], ids=["actor", "id"]
)
def test_a_national_id_where_the_audit_log_would_refuse_it(
    database: Database, world: World, request_: IssuanceRequest
) -> None:
    refuses(database, world, request_, RequestMalformed)


def test_an_unknown_profile_or_authority(database: Database, world: World) -> None:
    refuses(database, world, citizen_request(profile="no-such"), ProfileNotAllowed)
    refuses(database, world, citizen_request(authority="no-such"), AuthorityNotFound)


def test_a_profile_that_the_authority_does_not_issue(database: Database, world: World) -> None:
    refuses(database, world, citizen_request(authority="root-g1"), ProfileNotAllowed)
    name = world.registry.by_slug("citizen-g1").certificate.subject
    for profile in ("issuing-ca", "root-ca"):
        for authority in ("citizen-g1", "root-g1"):
            request = authority_request(profile, authority, name)
            if (profile, authority) != ("issuing-ca", "root-g1"):
                refuses(database, world, request, ProfileNotAllowed)


def authority_request(profile: str, authority: str, name: x509.Name) -> IssuanceRequest:
    key = new_key(KeyAlgorithm.P_384)
    return IssuanceRequest(
        request_id="ca",
        profile=profile,
        authority=authority,
        public_key=key.public_key(),
        subject_name=name,
        actor="operator:1",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"common_name": None},
        {"common_name": ""},
        {"common_name": " 王小明"},
        {"common_name": "王小明\u200b"},
        {"common_name": "a\x00b"},
        {"common_name": "王\n小明"},
        {"common_name": "\u202e王小明"},
        {"common_name": "王" * 65},
        {"subject_serial_number": None},
        {"subject_serial_number": "123456789012345"},
        {"subject_serial_number": "12345678901234567"},
        {"subject_serial_number": "123456789012345a"},
        {"subject_serial_number": "１２３４５６７８９０１２３４５６"},
        {"national_id_last4": None},
        {"national_id_last4": "678"},
        {"national_id_last4": "67890"},
        {"national_id_last4": "678a"},
        {"person_id": None},
        {"person_id": "a b"},
        {"person_id": "p" * 65},
        {"card_number": None},
        {"card_number": "1"},
        {"actor": ""},
        {"actor": "an actor"},
        {"dns_names": ("idp.example.tw",)},
        {"subject_name": x509.Name([])},
    ],
    ids=lambda change: f"{next(iter(change))}",
)
def test_a_missing_unused_or_malformed_field(database: Database, world: World, change: dict[str, object]) -> None:
    error = refuses(database, world, citizen_request(**change), RequestMalformed)  # type: ignore[arg-type]  # as named
    value = next(iter(change.values()))
    assert not (isinstance(value, str) and len(value) > 2 and value in error.detail)


@pytest.mark.parametrize(
    "dns_names",
    [
        (),
        ("",),
        ("*.example.tw",),
        ("UPPER.example.tw",),
        ("-a.example.tw",),
        ("a..b",),
        ("例.tw",),
        ("a.tw.",),
        ("a" * 64 + ".tw",),
        (".".join(["a" * 60] * 5),),
        ("a.tw", "a.tw"),
        tuple(f"h{i}.tw" for i in range(33)),
        ("127.0.0.1\n",),
    ],
)
def test_malformed_dns_names(database: Database, world: World, dns_names: tuple[str, ...]) -> None:
    refuses(database, world, server_request("tls", dns_names), RequestMalformed)


def test_possession_must_be_proven(database: Database, world: World) -> None:
    key, other = new_key(), new_key()
    refuses(database, world, citizen_request(key=key, csr=None), PossessionNotProven)
    refuses(database, world, citizen_request(key=key, csr=certification_request(other)), PossessionNotProven)
    forged = bytearray(certification_request(key).public_bytes(Encoding.DER))
    forged[-1] ^= 1
    request = citizen_request(key=key, csr=x509.load_der_x509_csr(bytes(forged)))
    refuses(database, world, request, PossessionNotProven)


def test_possession_under_an_unknown_algorithm_is_not_proven(database: Database, world: World) -> None:
    key = new_key()
    der = certification_request(key).public_bytes(Encoding.DER)
    ecdsa_with_sha256 = bytes.fromhex("06082a8648ce3d040302")
    strange = x509.load_der_x509_csr(der.replace(ecdsa_with_sha256, ecdsa_with_sha256[:-1] + b"\x7f"))
    refuses(database, world, citizen_request(key=key, csr=strange), PossessionNotProven)


def test_possession_proven_by_a_broken_hash_does_not_count(database: Database, world: World) -> None:
    key = new_key()
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = citizen_request(key=key, csr=builder.sign(key, hashes.SHA224()))
    refuses(database, world, request, PossessionNotProven)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - what is to be refused
        lambda: rsa.generate_private_key(65537, 3072),
        lambda: rsa.generate_private_key(3, 2048),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP521R1()),
        lambda: ec.generate_private_key(ec.SECP256K1()),
    ],
    ids=["rsa1024", "rsa3072", "e3", "p384", "p521", "k256"],
)
def test_a_key_of_another_kind(
    database: Database, world: World, make: Callable[[], rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey]
) -> None:
    refuses(database, world, citizen_request(key=make()), KeyRefused)


def test_a_key_serves_one_certificate(database: Database, world: World) -> None:
    key = new_key()
    world.issuance.issue(citizen_request("r1", key=key))
    refuses(database, world, citizen_request("r2", key=key), KeyReused)
    refuses(database, world, citizen_request("r3", key=key, profile="citizen-signature"), KeyReused)
    refuses(database, world, citizen_request("r4", key=key, authority="citizen-g2"), KeyReused)
    refuses(database, world, citizen_request("r5", key=key, person_id="person-2"), KeyReused)


def test_an_authoritys_own_key_is_never_a_citizens(database: Database, world: World) -> None:
    key = world.key_store.private_key("citizen-g1")
    refuses(database, world, citizen_request(key=key), KeyReused)


def test_a_responder_may_keep_its_key_but_nobody_elses(database: Database, world: World) -> None:
    key = cast(ec.EllipticCurvePrivateKey, new_key())
    first = world.issuance.issue(responder_request("r1", key))
    second = world.issuance.issue(responder_request("r2", key))
    assert first.serial != second.serial
    refuses(database, world, responder_request("r3", key, name="OCSP 2"), KeyReused)


def test_a_blocked_key_is_never_certified(database: Database, world: World) -> None:
    key = new_key()
    world.issuance.block_key(key.public_key(), reason="key compromise", actor="operator:1")
    world.issuance.block_key(key.public_key(), reason="key compromise", actor="operator:1")
    refuses(database, world, citizen_request(key=key), KeyBlocked)


def test_a_revoked_or_suspended_authority_issues_responders_alone(
    database: Database, world: World, clock: FakeClock
) -> None:
    certificate = world.registry.by_slug("citizen-g1").certificate
    root_id = world.registry.by_slug("root-g1").id
    revocation = RevocationService(database, CertificateStore(), world.audit, clock)
    revocation.suspend(root_id, certificate.serial_number, "operator:1")
    refused = refuses(database, world, citizen_request(), IssuerNotValid)
    assert refused.detail == "the authority's certificate is revoked or suspended"
    revocation.resume(root_id, certificate.serial_number, "operator:1")
    world.issuance.issue(citizen_request())
    revocation.revoke(root_id, certificate.serial_number, RevocationReason.CA_COMPROMISE, "operator:1")
    refuses(database, world, citizen_request(request_id="after"), IssuerNotValid)
    key = new_key()
    responder = IssuanceRequest(
        request_id="responder",
        common_name="OCSP 1",
        profile="ocsp-responder",
        authority="citizen-g1",
        public_key=key.public_key(),
        actor="system:va",
        csr=certification_request(key),
    )
    assert world.issuance.issue(responder).profile == "ocsp-responder"


def test_an_authority_that_is_not_valid_now(database: Database, world: World, clock: FakeClock) -> None:
    end = world.registry.by_slug("citizen-g1").certificate.not_valid_after_utc
    start = clock.now
    clock.set(end.replace(year=end.year - 4))
    refuses(database, world, citizen_request(), IssuerNotValid)  # five years would go beyond it
    clock.set(end)
    clock.advance(1)
    refuses(database, world, citizen_request(), IssuerNotValid)
    clock.set(start)
    clock.advance(-1)
    refuses(database, world, citizen_request(), IssuerNotValid)


def test_a_short_lived_certificate_is_shortened_to_its_issuers_end(world: World, clock: FakeClock) -> None:
    end = world.registry.by_slug("citizen-g1").certificate.not_valid_after_utc
    clock.set(end.replace(day=max(1, end.day - 1)))
    request = responder_request("r1", cast(ec.EllipticCurvePrivateKey, new_key()))
    assert world.issuance.issue(request).certificate.not_valid_after_utc == end


@pytest.mark.parametrize("url", ["pki.example.tw", "ftp://pki.example.tw/pki", "http://pki.example.tw/pki/", ""])
def test_a_publication_url_that_no_certificate_should_name_stops_the_start(
    database: Database, clock: FakeClock, rng: SeededRng, url: str
) -> None:
    with pytest.raises(ConfigurationError):
        World(database, clock, rng, publication_url=url)


def test_authorities_keep_their_key_identifiers(world: World) -> None:
    for authority in world.registry.all():
        assert authority.key_identifier == key_identifier(authority.public_key)
    assert world.hold(ceremony(with_root=False, issuing=("citizen-g3",))).authorities == ("citizen-g3",)
