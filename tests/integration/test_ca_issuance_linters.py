"""What OpenSSL, GnuTLS and pkilint's own commands say of every kind of certificate that is issued here."""

import shutil
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.issuance import IssuanceRequest
from ca_core.kernel.database import Database, sqlite_url
from ca_core.keys import KeyAlgorithm
from support.fakes import FakeClock, SeededRng
from support.pki import CITIZEN_PROFILES, World, citizen_request, make_world, new_key
from support.processes import required_program, run

VECTORS = Path(__file__).parents[1] / "vectors"
ISSUERS = [KeyAlgorithm.RSA_4096, KeyAlgorithm.P_256]
SUBJECT_KEYS = [KeyAlgorithm.RSA_2048, KeyAlgorithm.P_256]


def responder_request(request_id: str, authority: str) -> IssuanceRequest:
    return citizen_request(
        request_id,
        profile="ocsp-responder",
        authority=authority,
        common_name="OCSP Responder 1",
        subject_serial_number=None,
        national_id_last4=None,
        person_id=None,
        card_number=None,
    )


def server_request(request_id: str) -> IssuanceRequest:
    return citizen_request(
        request_id,
        profile="internal-tls",
        common_name="idp.example.tw",
        dns_names=("idp.example.tw", "www.idp.example.tw"),
        subject_serial_number=None,
        national_id_last4=None,
        person_id=None,
        card_number=None,
    )


def everything(world: World) -> dict[str, x509.Certificate]:
    """One certificate of every kind, by a name for the file."""
    made = {authority.slug: authority.certificate for authority in world.registry.all()}
    requests = [responder_request(f"ocsp-{slug}", slug) for slug in ("root-g1", "citizen-g1")]
    requests.append(server_request("tls"))
    for profile in CITIZEN_PROFILES:
        for algorithm in SUBJECT_KEYS:
            if algorithm in world.profiles[profile].key_algorithms:
                requests.append(citizen_request(f"{profile}-{algorithm}", profile=profile, key=new_key(algorithm)))
    for request in requests:
        made[request.request_id] = world.issuance.issue(request).certificate
    return made


@pytest.fixture(scope="module", params=ISSUERS)
def certificates(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The PEM file of every kind of certificate; the issuing authority's key is the parameter's, the root's P-384."""
    folder = tmp_path_factory.mktemp("certificates")
    shutil.copyfile(sqlite_template, folder / "database.db")
    database = Database.open(sqlite_url(folder / "database.db"))
    world = make_world(database, FakeClock(), SeededRng(), algorithm=request.param)
    files = {}
    for name, certificate in everything(world).items():
        files[name] = folder / f"{name}.pem"
        files[name].write_bytes(certificate.public_bytes(Encoding.PEM))
    database.dispose()
    return files


def policies_of(certificate: x509.Certificate) -> list[str]:
    policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert all(policy.policy_qualifiers is None for policy in policies)
    return [policy.policy_identifier.dotted_string for policy in policies]


def pkilint(command: str, *arguments: str | Path) -> str:
    return run([Path(sys.executable).parent / command, "lint", "-s", "NOTICE", *arguments]).stdout.strip()


def test_pkilints_own_commands_find_nothing_above_info(certificates: dict[str, Path]) -> None:
    assert len(certificates) == 13
    for name, file in certificates.items():
        assert pkilint("lint_pkix_cert", file) == "", name


def test_pkilint_accepts_each_certificate_beside_its_issuers(certificates: dict[str, Path]) -> None:
    for name, file in certificates.items():
        signer = "root-g1" if name in ("root-g1", "citizen-g1", "ocsp-root-g1") else "citizen-g1"
        assert pkilint("lint_pkix_signer_signee_cert_chain", certificates[signer], file) == "", name


def test_openssl_verifies_every_path_strictly(certificates: dict[str, Path], clock: FakeClock) -> None:
    at = str(int(clock.now.timestamp()) + 60)
    for name, file in certificates.items():
        run(
            [
                *[required_program("openssl"), "verify", "-x509_strict", "-policy_check", "-attime", at],
                *["-CAfile", certificates["root-g1"], "-untrusted", certificates["citizen-g1"], file],
            ]
        )
        shown = run([required_program("openssl"), "x509", "-in", file, "-noout", "-text"]).stdout
        assert "Version: 3" in shown, name


def test_openssl_accepts_each_purpose(certificates: dict[str, Path], clock: FakeClock) -> None:
    at = str(int(clock.now.timestamp()) + 60)
    purposes = {"citizen-authentication-p256": "sslclient", "ocsp-citizen-g1": "ocsphelper", "tls": "sslserver"}
    for name, purpose in purposes.items():
        run(
            [
                *[required_program("openssl"), "verify", "-x509_strict", "-purpose", purpose, "-attime", at],
                *["-CAfile", certificates["root-g1"], "-untrusted", certificates["citizen-g1"], certificates[name]],
            ]
        )


def test_openssl_finds_each_policy_along_the_path(certificates: dict[str, Path], clock: FakeClock) -> None:
    at = str(int(clock.now.timestamp()) + 60)
    arc = "1.3.6.1.4.1.32473.886.1"
    for profile, own in (("authentication", "1"), ("signature", "2"), ("encryption", "3")):
        for policy, accepted in (
            ("2.16.886.101.0.3.3", True),
            (f"{arc}.{own}", True),
            (f"{arc}.{'1' if own != '1' else '2'}", False),
        ):
            command = [required_program("openssl"), "verify", "-explicit_policy", "-policy", policy, "-attime", at]
            paths = ["-CAfile", certificates["root-g1"], "-untrusted", certificates["citizen-g1"]]
            done = run([*command, *paths, certificates[f"citizen-{profile}-p256"]], check=False)
            assert (done.returncode == 0) == accepted, done.stderr


def test_gnutls_verifies_the_chains(certificates: dict[str, Path], tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    for name in ("citizen-authentication-p256", "citizen-signature-rsa2048", "citizen-encryption-p256"):
        chain.write_bytes(
            b"".join(certificates[part].read_bytes() for part in (name, "citizen-g1", "root-g1")),
        )
        shown = run([required_program("certtool"), "--verify-chain", "--infile", chain]).stdout
        assert "Chain verification output: Verified." in shown


def test_the_issuing_certificate_has_the_deployed_ones_structure(
    sqlite_database_url: str, clock: FakeClock, rng: SeededRng
) -> None:
    database = Database.open(sqlite_database_url)
    deployed = x509.load_der_x509_certificate((VECTORS / "moica" / "moica-g3.cer").read_bytes())
    ours = make_world(database, clock, rng, algorithm=KeyAlgorithm.RSA_4096).registry.by_slug("citizen-g1").certificate
    assert [(e.oid, e.critical) for e in ours.extensions] == [(e.oid, e.critical) for e in deployed.extensions]
    assert policies_of(ours)[:1] == policies_of(deployed) == ["2.16.886.101.0.3.3"]
    for kind in (x509.KeyUsage, x509.BasicConstraints):
        mine, theirs = (c.extensions.get_extension_for_class(kind).value for c in (ours, deployed))
        assert mine.public_bytes() == theirs.public_bytes()
    mine_aia, their_aia = (
        [place.access_method for place in c.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value]
        for c in (ours, deployed)
    )
    assert mine_aia == their_aia
    assert ours.subject.public_bytes() == deployed.subject.public_bytes()
    for certificate in (ours, deployed):
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert identifier == x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert issuer.authority_cert_issuer is None and issuer.authority_cert_serial_number is None
        assert certificate.not_valid_after_utc.strftime("%H:%M:%S") == "15:59:59"
        assert 8 < (certificate.serial_number.bit_length() + 7) // 8 <= 16
        assert certificate.version is x509.Version.v3
    database.dispose()
