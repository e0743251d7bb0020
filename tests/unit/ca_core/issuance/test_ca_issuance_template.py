"""Issuing by template: the same octets as the builder's, and nothing else passes the rules."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca_core.crl_shards import ShardLayout
from ca_core.issuance import IssuanceRequest, IssuedCertificate, LintRefused
from ca_core.issuance import der as own_der
from ca_core.issuance.checks import Candidate
from ca_core.issuance.draft import draw_up, new_serial
from ca_core.issuance.lint import Linter
from ca_core.issuance.model import LintMode
from ca_core.issuance.template import Template
from ca_core.kernel.database import Database
from ca_core.keys import KeyAlgorithm
from ca_core.keys.model import key_algorithm_of
from ca_core.profiles.model import Source, SubjectAlternativeNames, SubjectDirectoryAttributes
from support.fakes import FakeClock, SeededRng
from support.pki import PUBLICATION_URL, World, citizen_request, make_world, new_key

KEYS = {algorithm: new_key(algorithm) for algorithm in (KeyAlgorithm.P_256, KeyAlgorithm.RSA_2048)}


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    return make_world(database, clock, rng)


def candidate_of(world: World, profile: str = "citizen-authentication", **fields: object) -> Candidate:
    known = world.profiles[profile]
    algorithm = next(a for a in known.key_algorithms if a in KEYS)
    values: dict[str, object] = {
        "public_key": KEYS[algorithm].public_key(),
        "common_name": "王小明" if known.uses(Source.COMMON_NAME) else None,
        "subject_serial_number": "0000000112345678" if known.uses(Source.SERIAL_NUMBER) else None,
        "national_id_last4": "6789" if known.has(SubjectDirectoryAttributes) else None,
        "dns_names": ("idp.example.tw", "localhost") if known.has(SubjectAlternativeNames) else (),
        **fields,
    }
    request = IssuanceRequest(
        request_id="r",
        profile=profile,
        authority="citizen-g1",
        actor="operator:1",
        **values,  # type: ignore[arg-type]  # fields of a request
    )
    return Candidate(request=request, profile=known, signer=world.registry.signer("citizen-g1"), now=world.clock())


def template_for(world: World, candidate: Candidate) -> Template:
    algorithm = key_algorithm_of(candidate.request.public_key)
    return world.issuance._templates.template(candidate.profile, candidate.signer, algorithm, candidate.crl_shards)


def built(world: World, candidate: Candidate, serial: int) -> bytes:
    """What the certificate builder makes of it."""
    throwaway = world.issuance._throwaway.like(candidate.signer.public_key)
    return draw_up(candidate, PUBLICATION_URL, throwaway, lambda size: serial.to_bytes(size, "big")).tbs


END_ENTITIES = sorted(
    (
        "citizen-authentication",
        "citizen-signature",
        "citizen-encryption",
        "citizen-legacy-signature",
        "citizen-legacy-encryption",
        "derived-hardware-statement",
        "derived-software-statement",
        "phone-signature",
        "passkey",
        "time-stamping",
        "operator",
        "ocsp-responder",
        "internal-tls",
    )
)


@pytest.mark.parametrize("profile", END_ENTITIES)
def test_each_profiles_boundary_cases_are_linted_and_spliced_as_they_are_built(world: World, profile: str) -> None:
    candidate = candidate_of(world, profile)
    template = template_for(world, candidate)
    tbs = template.splice(candidate, 0x1234567890)
    assert tbs == built(world, candidate, 0x1234567890)
    template.verify(tbs, candidate, 0x1234567890)
    assert template_for(world, candidate) is template


def test_a_template_names_the_shard_of_each_serial(world: World, clock: FakeClock) -> None:
    signer = world.registry.signer("citizen-g1")
    shards = ShardLayout(
        authority_id=signer.id,
        generation=1,
        first=7,
        count=12,
        slug=signer.slug,
        publication_url=PUBLICATION_URL,
        introduced_at=clock.now,
    )
    plain = candidate_of(world)
    candidate = Candidate(request=plain.request, profile=plain.profile, signer=signer, now=clock.now, crl_shards=shards)
    template = template_for(world, candidate)
    for serial in range(1, 30):
        tbs = template.splice(candidate, serial)
        assert tbs == built(world, candidate, serial)
        template.verify(tbs, candidate, serial)
        assert f"/crl/citizen-g1/{7 + serial % 12}.crl".encode() in tbs
        with pytest.raises(LintRefused):
            template.verify(tbs, candidate, serial + 1)
    assert template_for(world, plain) is not template


NAMES = st.text(st.characters(categories=("Lu", "Ll", "Lo", "Nd", "Pd", "Zs")), min_size=1, max_size=64).filter(
    lambda name: name == name.strip()
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=NAMES, number=st.integers(0, 10**16 - 1), last4=st.integers(0, 9999), serial=st.integers(1, 2**127 - 1))
def test_whatever_is_asked_the_splice_is_what_the_builder_makes(
    world: World, name: str, number: int, last4: int, serial: int
) -> None:
    candidate = candidate_of(
        world, common_name=name, subject_serial_number=f"{number:016d}", national_id_last4=f"{last4:04d}"
    )
    template = template_for(world, candidate)
    tbs = template.splice(candidate, serial)
    assert tbs == built(world, candidate, serial)
    template.verify(tbs, candidate, serial)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_octet_can_be_changed_without_being_found_out(world: World, data: st.DataObject) -> None:
    candidate = candidate_of(world)
    template = template_for(world, candidate)
    tbs = template.splice(candidate, 0x7777)
    position = data.draw(st.integers(0, len(tbs) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda value: value != tbs[position]))
    for altered in (tbs[:position] + bytes((octet,)) + tbs[position + 1 :], tbs[:position], tbs + bytes((octet,))):
        with pytest.raises(LintRefused):
            template.verify(altered, candidate, 0x7777)


def test_the_rules_do_not_rest_on_the_checks_before_them(world: World) -> None:
    """A field that slipped through would be spliced, and refused here."""
    for fields in (
        {"common_name": ""},
        {"common_name": "x" * 65},
        {"common_name": "two\nlines"},
        {"common_name": " x"},
        {"subject_serial_number": "123"},
        {"subject_serial_number": "A" * 16},
        {"national_id_last4": "12"},
        {"national_id_last4": "A234"},
    ):
        candidate = candidate_of(world, **fields)
        template = template_for(world, candidate)
        with pytest.raises(LintRefused):
            template.verify(template.splice(candidate, 5), candidate, 5)
    for names in ((), ("*",), ("a_b",), ("x." * 130 + "tw",)):
        candidate = candidate_of(world, "internal-tls", dns_names=names)
        template = template_for(world, candidate)
        with pytest.raises(LintRefused):
            template.verify(template.splice(candidate, 5), candidate, 5)
    candidate = candidate_of(world)
    template = template_for(world, candidate)
    for serial in (0, 1 << 127, 1 << 160):
        with pytest.raises(LintRefused):
            template.verify(template.splice(candidate, serial), candidate, serial)


def test_a_profile_that_the_linter_refuses_has_no_template(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Linter, "findings", lambda *_, **__: ["ERROR certificate: tests.finding"])
    with pytest.raises(LintRefused, match=r"tests\.finding"):
        world.issuance.load_templates("citizen-g1")
    outcomes = world.issuance.issue_many([citizen_request()], lint=LintMode.TEMPLATE)
    assert isinstance(outcomes[0], LintRefused)


def test_templates_are_loaded_for_everything_that_an_authority_issues(world: World) -> None:
    assert "citizen-encryption" in world.issuance.load_templates("citizen-g1")
    made = len(world.issuance._templates._known)
    issued = world.issuance.issue_many(
        [citizen_request(f"r{i}", key=new_key(a)) for i, a in enumerate(KEYS)], lint=LintMode.TEMPLATE
    )
    assert all(isinstance(one, IssuedCertificate) for one in issued)
    assert len(world.issuance._templates._known) == made


def test_what_the_issuer_was_is_not_what_the_template_is_from(world: World) -> None:
    """A signer that changed gets a template of its own."""
    candidate = candidate_of(world)
    template = template_for(world, candidate)
    other = world.registry.signer("root-g1")
    changed = Candidate(
        request=candidate.request,
        profile=candidate.profile,
        signer=type(candidate.signer)(
            **{
                **{name: getattr(candidate.signer, name) for name in candidate.signer.__slots__},
                "certificate": other.certificate,
            }
        ),
        now=candidate.now,
    )
    assert template_for(world, changed) is not template


@pytest.mark.parametrize(
    "octets",
    [b"\x30", b"\x30\x80", b"\x30\x81\x05", b"\x30\x82\x00\x10", b"\x1f\x81\x00", b"\x30\x84\x00\x00\x00\x01x"],
)
def test_what_is_not_der_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError):
        own_der.children(octets)


def test_rsa_keys_are_spliced_as_well(world: World) -> None:
    candidate = candidate_of(world, "citizen-legacy-signature")
    assert isinstance(candidate.request.public_key, rsa.RSAPublicKey)
    serial = new_serial(SeededRng())
    assert template_for(world, candidate).splice(candidate, serial) == built(world, candidate, serial)
