"""The ceremony file: what it says, and what makes it be refused."""

from hashlib import sha256

import pytest
from cryptography import x509

from ca_core.authorities import CeremonyRefused
from ca_core.authorities.ceremony_file import parse_ceremony
from support.pki import ceremony_toml

FILE = ceremony_toml()


def test_the_digest_is_over_the_files_octets() -> None:
    parsed = parse_ceremony(FILE.encode())
    assert parsed.digest == sha256(FILE.encode()).hexdigest()
    assert parse_ceremony((FILE + "\n").encode()).digest != parsed.digest


def test_names_have_the_deployed_encoding() -> None:
    root, issuing = parse_ceremony(FILE.encode()).content.authorities
    assert [(a.oid, a.value, a._type.name) for a in issuing.name] == [
        (x509.NameOID.COUNTRY_NAME, "TW", "PrintableString"),
        (x509.NameOID.ORGANIZATION_NAME, "行政院", "UTF8String"),
        (x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "內政部憑證管理中心", "UTF8String"),
    ]
    assert [a.oid for a in root.name][-1] == x509.NameOID.COMMON_NAME


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('title = "Test ceremony"\n', ""),
        ('title = "Test ceremony"', 'title = ""'),
        ('title = "Test ceremony"', 'title = "a\\nb"'),
        ('title = "Test ceremony"', "title = 1"),
        ('title = "Test ceremony"', 'title = "x"\nunknown = 1'),
        ('participants = [{ name = "Witness", role = "auditor" }]', "participants = []"),
        ('slug = "citizen-g1"', 'slug = "root-g1"'),
        ('slug = "citizen-g1"', 'slug = "self"'),
        ('slug = "citizen-g1"', 'slug = "Citizen"'),
        ('slug = "citizen-g1"', 'slug = "../g1"'),
        ('slug = "citizen-g1"', 'slug = "root-g1-delta"'),
        ('issuer = "self"', 'issuer = "root-g1"'),
        ('issuer = "self"', 'issuer = "citizen-g1"'),
        ('key_algorithm = "p384"', 'key_algorithm = "rsa1024"'),
        ('value = "TW"', 'value = "TWN"'),
        ('type = "CN"', 'type = "XX"'),
        ("[[authorities]]", "[[authority]]"),
        ("[[authorities]]", "[authorities"),
    ],
)
def test_a_file_that_is_not_understood_is_refused(old: str, new: str) -> None:
    assert old in FILE
    with pytest.raises(CeremonyRefused):
        parse_ceremony(FILE.replace(old, new, 1).encode())


def test_octets_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(CeremonyRefused):
        parse_ceremony(FILE.encode("utf-16"))


def test_all_faults_come_at_once() -> None:
    broken = FILE.replace('slug = "root-g1"', 'slug = "R"').replace('location = "Taipei"', "location = 1")
    with pytest.raises(CeremonyRefused) as refused:
        parse_ceremony(broken.encode())
    assert "location" in refused.value.detail and "authorities.0.slug" in refused.value.detail
