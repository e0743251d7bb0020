"""Whatever is asked: a certificate that says exactly that and passes the linter, or a refusal."""

import shutil
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto.x509 import Certificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from ca_core.authorities import CeremonyRefused
from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.issuance.draft import new_serial
from ca_core.issuance.errors import IssuanceRefused
from ca_core.issuance.signing import assemble
from ca_core.issuance.validity import validity_of
from ca_core.kernel.clock import TAIPEI
from ca_core.kernel.database import Database, sqlite_url
from ca_core.keys import KeyLabelRefused, verify_label
from ca_core.profiles import ProfileError, load_profiles
from ca_core.profiles.loader import parse_profile
from ca_core.profiles.model import BeyondIssuer, Validity
from support.fakes import FakeClock, SeededRng
from support.pki import World, ceremony_toml, citizen_request, make_world, new_key

KEY = new_key()
PROFILE_FILES = [
    (Path(load_profiles.__code__.co_filename).parent / "data" / f"{name}.toml").read_text("utf-8")
    for name in load_profiles()
]


@pytest.fixture(scope="module")
def world(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path = tmp_path_factory.mktemp("properties") / "database.db"
    shutil.copyfile(sqlite_template, path)
    database = Database.open(sqlite_url(path))
    yield make_world(database, FakeClock(), SeededRng())
    database.dispose()


@pytest.mark.filterwarnings("ignore:Attribute's length must be")  # cryptography counts octets
@settings(max_examples=150, deadline=None)
@given(
    common_name=st.text(max_size=70),
    serial_number=st.from_regex(r"[0-9]{16}", fullmatch=True) | st.text(max_size=17),
    last4=st.from_regex(r"[0-9]{4}", fullmatch=True) | st.text(max_size=5),
)
def test_a_rehearsed_certificate_says_what_was_asked(
    world: World, common_name: str, serial_number: str, last4: str
) -> None:
    request = citizen_request(
        key=KEY, common_name=common_name, subject_serial_number=serial_number, national_id_last4=last4
    )
    try:
        made = world.issuance.rehearse(request, world.registry.signer("citizen-g1"))
    except IssuanceRefused:
        return
    assert [attribute.value for attribute in made.subject] == ["TW", common_name, serial_number]
    assert (
        made.extensions.get_extension_for_oid(x509.ObjectIdentifier("2.5.29.9"))
        .value.public_bytes()
        .endswith(last4.encode())
    )
    assert Certificate.load(made.public_bytes(Encoding.DER), strict=True).subject.native["common_name"] == common_name


@settings(max_examples=200, deadline=None)
@given(octets=st.binary(min_size=16, max_size=16))
def test_serials_are_positive_integers_of_sixteen_octets(octets: bytes) -> None:
    answers = iter([octets, b"\x01" * 16])
    serial = new_serial(lambda size: next(answers))
    assert 0 < serial < 2**127
    assert int.from_bytes(octets, "big") % 2**127 in (serial, 0)


@settings(max_examples=100, deadline=None)
@given(padding=st.integers(min_value=0, max_value=70_000))
def test_any_size_of_certificate_is_assembled_in_der(padding: int) -> None:
    now = FakeClock().now
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(padding))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now)
        .public_key(KEY.public_key())
        .add_extension(extension, critical=False)
        .sign(KEY, hashes.SHA256())
    )
    assert assemble(certificate.tbs_certificate_bytes, certificate.signature) == certificate.public_bytes(Encoding.DER)


@settings(max_examples=200, deadline=None)
@given(
    now=st.integers(min_value=946684800, max_value=2840140800).map(lambda s: datetime.fromtimestamp(s, TAIPEI)),
    years=st.integers(min_value=1, max_value=40),
)
def test_a_validity_in_years_ends_on_that_day_in_taipei(now: datetime, years: int) -> None:
    rule = Validity(years=years, snap_to_end_of_day=True, beyond_issuer=BeyondIssuer.REFUSE)
    start, end = validity_of(rule, now.astimezone(UTC), None)
    local = end.astimezone(TAIPEI)
    assert (local.year, local.hour, local.minute, local.second) == (now.year + years, 23, 59, 59)
    assert (local.month, local.day) in ((now.month, now.day), (2, 28))
    assert start.microsecond == 0 and start < end


@given(label=st.text(max_size=70))
def test_a_label_that_passes_is_a_plain_file_name(label: str) -> None:
    try:
        verify_label(label)
    except KeyLabelRefused:
        return
    assert label and Path(label).name == label
    assert label.isascii() and not label.startswith(("-", ".")) and len(label) <= 64


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_ceremony_file_is_understood_or_refused(data: st.DataObject) -> None:
    octets = damaged(data, ceremony_toml().encode())
    try:
        parsed = parse_ceremony(octets)
    except CeremonyRefused:
        return
    assert tomllib.loads(octets.decode())["title"] == parsed.content.title


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_profile_file_is_understood_or_refused(data: st.DataObject) -> None:
    text = damaged(data, data.draw(st.sampled_from(PROFILE_FILES)).encode()).decode("utf-8", "replace")
    try:
        profile = parse_profile(text)
    except ProfileError:
        return
    assert tomllib.loads(text)["name"] == profile.name


def damaged(data: st.DataObject, octets: bytes) -> bytes:
    """The octets with some of them cut out, doubled or replaced."""
    start = data.draw(st.integers(0, len(octets)))
    end = data.draw(st.integers(start, min(len(octets), start + 40)))
    return octets[:start] + data.draw(st.binary(max_size=4) | st.just(octets[start:end] * 2)) + octets[end:]
