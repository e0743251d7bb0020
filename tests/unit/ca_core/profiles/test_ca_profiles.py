"""Profile files: what is in the package's own, and what makes one be refused."""

from pathlib import Path

import pytest

from ca_core.keys import KeyAlgorithm
from ca_core.profiles import ProfileError, load_profiles
from ca_core.profiles.loader import parse_profile
from ca_core.profiles.model import Issuer, KeyReuse, KeyUsage, KeyUsageBit, Profile
from ca_core.profiles.oids import (
    ASSURANCE_LEVEL_3,
    CITIZEN_AUTHENTICATION_POLICY,
    CITIZEN_ENCRYPTION_POLICY,
    CITIZEN_SIGNATURE_POLICY,
    NAMES,
)

PROFILES = load_profiles()
NAMES_OF_PROFILES = {
    "root-ca",
    "issuing-ca",
    "citizen-authentication",
    "citizen-signature",
    "citizen-encryption",
    "citizen-legacy-signature",
    "citizen-legacy-encryption",
    "ocsp-responder",
    "internal-tls",
    "cross-ca",
    "derived-hardware-statement",
    "derived-software-statement",
    "phone-signature",
    "passkey",
    "time-stamping",
    "operator",
}
MINIMAL = """
name = "minimal"
description = "For tests."
issuer = "issuing"
key_algorithms = ["p256"]
proof_of_possession = true
key_reuse = "never"
person = false
[subject]
attributes = [{ type = "C", value = "TW" }]
[validity]
days = 30
snap_to_end_of_day = true
beyond_issuer = "refuse"
[[extensions]]
type = "key-usage"
critical = true
bits = ["digitalSignature"]
"""


def key_usage(profile: Profile) -> KeyUsage:
    return next(extension for extension in profile.extensions if isinstance(extension, KeyUsage))


def test_the_package_has_these_profiles() -> None:
    assert set(PROFILES) == NAMES_OF_PROFILES
    with pytest.raises(TypeError):
        PROFILES["x"] = PROFILES["root-ca"]  # type: ignore[index]  # what is tested


def test_a_citizens_keys_have_one_purpose_each() -> None:
    signature, non_repudiation = KeyUsageBit.DIGITAL_SIGNATURE, KeyUsageBit.NON_REPUDIATION
    assert key_usage(PROFILES["citizen-authentication"]).bits == (signature,)
    assert key_usage(PROFILES["citizen-signature"]).bits == (non_repudiation,)
    encryption = key_usage(PROFILES["citizen-encryption"])
    assert encryption.rsa == (KeyUsageBit.KEY_ENCIPHERMENT, KeyUsageBit.DATA_ENCIPHERMENT)
    assert encryption.ec == (KeyUsageBit.KEY_AGREEMENT,)
    assert all(key_usage(profile).critical for profile in PROFILES.values())


def test_each_purpose_has_a_policy_of_its_own() -> None:
    own = {
        "citizen-authentication": CITIZEN_AUTHENTICATION_POLICY,
        "citizen-signature": CITIZEN_SIGNATURE_POLICY,
        "citizen-encryption": CITIZEN_ENCRYPTION_POLICY,
    }
    for name, policy in own.items():
        assert PROFILES[name].policies == {ASSURANCE_LEVEL_3, policy}
    for name in ("citizen-legacy-signature", "citizen-legacy-encryption"):
        assert PROFILES[name].policies == {ASSURANCE_LEVEL_3}
    assert PROFILES["issuing-ca"].policies == {ASSURANCE_LEVEL_3, *own.values()}
    assert len(set(NAMES.values())) == len(NAMES)


def test_citizens_prove_possession_and_never_share_a_key() -> None:
    for name, profile in PROFILES.items():
        if name.startswith("citizen-"):
            assert profile.proof_of_possession and profile.person and profile.key_reuse is KeyReuse.NEVER
            assert profile.issuer is Issuer.ISSUING
            assert set(profile.key_algorithms) <= {KeyAlgorithm.RSA_2048, KeyAlgorithm.P_256}
            assert profile.validity.years == 5 and profile.validity.snap_to_end_of_day
    assert PROFILES["citizen-legacy-signature"].key_algorithms == (KeyAlgorithm.RSA_2048,)


def test_only_authorities_have_basic_constraints() -> None:
    assert {name for name, profile in PROFILES.items() if profile.is_ca} == {"root-ca", "issuing-ca", "cross-ca"}


def test_only_the_internal_servers_certificate_waives_a_finding() -> None:
    waived = {name: profile.waived_findings for name, profile in PROFILES.items() if profile.waived_findings}
    assert waived == {"internal-tls": ("pkix.invalid_domain_name_syntax",)}


def test_the_minimal_profile_is_understood() -> None:
    assert parse_profile(MINIMAL).name == "minimal"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("person = false", "person = false\nunknown = 1"),
        ("[validity]", "[validity]\nmonths = 1"),
        ("critical = true", "critical = true\nunknown = true"),
        ('type = "key-usage"', 'type = "unknown"'),
        ("person = false", 'person = "false"'),
        ("days = 30", 'days = "30"'),
        ("days = 30", "days = 0"),
        ("days = 30", "days = 30\nyears = 1"),
        ("days = 30\n", ""),
        ('["p256"]', '["p257"]'),
        ('["p256"]', "[]"),
        ('bits = ["digitalSignature"]', "bits = []"),
        ('bits = ["digitalSignature"]', 'rsa = ["digitalSignature"]'),
        ('bits = ["digitalSignature"]', 'bits = ["digitalSignature"]\nrsa = ["cRLSign"]\nec = ["cRLSign"]'),
        ('value = "TW" }', 'value = "TW", from = "common-name" }'),
        ('value = "TW" }', "}"),
        ("[subject]", "[subject]\nfrom_request = true"),
        ('name = "minimal"', 'name = "Minimal"'),
        ('name = "minimal"', "name = "),
        ('issuer = "issuing"', 'issuer = "anybody"'),
        (
            'bits = ["digitalSignature"]',
            'bits = ["digitalSignature"]\n[[extensions]]\ntype = "ocsp-no-check"\ncritical = true',
        ),
        ('type = "key-usage"\ncritical = true\nbits = ["digitalSignature"]', 'type = "ocsp-no-check"'),
    ],
)
def test_a_profile_that_is_not_understood_is_refused(old: str, new: str) -> None:
    assert old in MINIMAL
    with pytest.raises(ProfileError):
        parse_profile(MINIMAL.replace(old, new, 1))


@pytest.mark.parametrize(
    "extension",
    [
        'type = "key-usage"\ncritical = true\nbits = ["digitalSignature"]',
        'type = "basic-constraints"\ncritical = true\nca = true',
        'type = "certificate-policies"\ncritical = false\npolicies = ["no-such-name"]',
        'type = "certificate-policies"\ncritical = false\npolicies = ["2.16.886..1"]',
        'type = "certificate-policies"\ncritical = false\npolicies = ["9.1.2"]',
        'type = "crl-distribution-points"\nuris = ["http://elsewhere.example/x.crl"]',
        'type = "crl-distribution-points"\nuris = ["{publication}/crl/{other}.crl"]',
        'type = "crl-distribution-points"\nuris = []',
        'type = "basic-constraints"\ncritical = true\nca = false',
    ],
)
def test_an_extension_that_is_not_understood_or_contradicts_the_rest_is_refused(extension: str) -> None:
    with pytest.raises(ProfileError):
        parse_profile(f"{MINIMAL}\n[[extensions]]\n{extension}\n")


def test_all_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "minimal.toml").write_text(MINIMAL.replace("days = 30", "days = 0").replace("p256", "p1"), "utf-8")
    (tmp_path / "other.toml").write_text(MINIMAL, "utf-8")
    (tmp_path / "notes.txt").write_text("not a profile", "utf-8")
    with pytest.raises(ProfileError) as refused:
        load_profiles(tmp_path)
    for fault in (
        "minimal.toml: validity.days",
        "minimal.toml: key_algorithms.0",
        "other.toml: holds the profile minimal",
    ):
        assert fault in refused.value.detail
    assert "notes.txt" not in refused.value.detail


def test_no_profile_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError):
        load_profiles(tmp_path)
