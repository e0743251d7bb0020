"""GnuTLS, NSS, OpenSSL and pkilint agree on the chain of every profile, shards and links between roots included."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.crl_shards import ShardLayouts
from ca_core.issuance import IssuanceRequest, IssuanceService
from ca_core.issuance.model import IssuedCertificate, LintMode
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.rng import system_rng
from ca_core.keys import KeyAlgorithm
from ca_core.profiles import load_profiles
from ca_core.profiles.model import Source, SubjectAlternativeNames, SubjectDirectoryAttributes
from support.pki import (
    PUBLICATION_URL,
    World,
    ceremony_toml,
    certification_request,
    citizen_request,
    new_key,
)
from support.processes import required_program, run

KEYS = (KeyAlgorithm.P_256, KeyAlgorithm.RSA_2048)
PROFILES = sorted(name for name, profile in load_profiles().items() if not profile.is_ca)
LINKS = 'cross_certificates = [{ subject = "root-g2", issuer = "root-g1" }]\n'
CLIENT, SERVER, SSL_CA, SIGNER, RECIPIENT, RESPONDER = "C0", "V1", "L3", "S4", "R5", "O10"
"""What NSS calls the use: certutil's letter, vfychain's number."""
USES = {
    "citizen-authentication": CLIENT,
    "citizen-signature": SIGNER,
    "citizen-encryption": RECIPIENT,
    "citizen-legacy-signature": SIGNER,
    "citizen-legacy-encryption": RECIPIENT,
    "derived-hardware-statement": SIGNER,
    "derived-software-statement": SIGNER,
    "phone-signature": SIGNER,
    "passkey": SIGNER,
    "operator": CLIENT,
    "ocsp-responder": RESPONDER,
    "internal-tls": SERVER,
    "time-stamping": None,  # NSS knows no such use: the other three judge it
}
PURPOSES = {
    "citizen-authentication": ("sslclient", "1.3.6.1.5.5.7.3.2"),
    "operator": ("sslclient", "1.3.6.1.5.5.7.3.2"),
    "internal-tls": ("sslserver", "1.3.6.1.5.5.7.3.1"),
    "ocsp-responder": ("ocsphelper", "1.3.6.1.5.5.7.3.9"),
    "time-stamping": ("timestampsign", "1.3.6.1.5.5.7.3.8"),
}


@dataclass(frozen=True)
class Judged:
    """Files of certificates by name, PEM; end entities are called `<profile>-<key algorithm>`; an NSS database."""

    folder: Path
    names: tuple[str, ...]

    @property
    def store(self) -> str:
        return f"sql:{self.folder}"

    def pem(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def leaves(self) -> list[tuple[str, str]]:
        """(profile, name of the file)."""
        return [(name.rpartition("-")[0], name) for name in self.names if name.rpartition("-")[0] in PROFILES]


def request_of(world: World, name: str, algorithm: KeyAlgorithm, origin_id: int) -> IssuanceRequest:
    profile, key = world.profiles[name], new_key(algorithm)
    is_person = profile.uses(Source.SERIAL_NUMBER)
    return IssuanceRequest(
        request_id=f"{name}-{algorithm}",
        profile=name,
        authority="citizen-g1",
        public_key=key.public_key(),
        csr=certification_request(key) if profile.proof_of_possession else None,
        common_name="王小明" if is_person else "idp.example.tw" if name == "internal-tls" else "Unit 1",
        subject_serial_number="0000000112345678" if is_person else None,
        national_id_last4="6789" if profile.has(SubjectDirectoryAttributes) else None,
        person_id="person-1" if is_person else None,
        card_number="1234567890123456" if is_person else None,
        dns_names=("idp.example.tw",) if profile.has(SubjectAlternativeNames) else (),
        actor="operator:1",
        derived_from=origin_id if profile.derived_from else None,
    )


@pytest.fixture(scope="module", params=[KeyAlgorithm.P_256, KeyAlgorithm.RSA_4096])
def judged(request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("judged")
    shutil.copyfile(sqlite_template, folder / "database.db")
    database = Database.open(sqlite_url(folder / "database.db"))
    world = World(database, system_clock, system_rng)
    world.hold(parse_ceremony(_issues_all(ceremony_toml(algorithm=request.param)).encode()))
    second = ceremony_toml(root="root-g2", issuing=()).replace("G1", "G2")
    world.hold(parse_ceremony((LINKS + second).encode()))
    shards = ShardLayouts(database, world.audit, system_clock)
    authority = world.registry.by_slug("citizen-g1")
    shards.introduce(authority.id, authority.slug, count=4, publication_url=PUBLICATION_URL, actor="operator:1")
    issuance = IssuanceService(
        database=database,
        registry=world.registry,
        key_store=world.key_store,
        profiles=world.profiles,
        audit=world.audit,
        publication_url=PUBLICATION_URL,
        clock=system_clock,
        rng=system_rng,
        crl_shards=shards,
        revocation=world.revocation,
    )
    origin = issuance.issue(citizen_request("origin"))
    made = {one.slug: one.certificate for one in world.registry.all()}
    made["root-g2-by-g1"] = world.registry.cross_certificates()[0].certificate
    wanted = [
        request_of(world, name, algorithm, origin.certificate_id)
        for name in PROFILES
        for algorithm in KEYS
        if algorithm in world.profiles[name].key_algorithms
    ]
    for number, one in enumerate(issuance.issue_many(wanted, lint=LintMode.EVERY)):
        assert isinstance(one, IssuedCertificate), (wanted[number].profile, one)
        made[wanted[number].request_id] = one.certificate
    database.dispose()
    return _written(folder, made)


def _issues_all(text: str) -> str:
    """The ceremony's file with every profile of issuing authorities, and roots that are linked."""
    text = text.replace('"issuing-ca", "ocsp-responder"', '"issuing-ca", "ocsp-responder", "cross-ca"')
    everything = ", ".join(f'"{name}"' for name in PROFILES)
    head, _, _ = text.rpartition("issues = [")
    return f"{head}issues = [{everything}]\n"


def _written(folder: Path, made: dict[str, x509.Certificate]) -> Judged:
    judged = Judged(folder, tuple(made))
    certutil = required_program("certutil")
    run([certutil, "-N", "-d", judged.store, "--empty-password"])
    for name, certificate in made.items():
        judged.pem(name).write_bytes(certificate.public_bytes(Encoding.PEM))
        trust = "CT,C,C" if name == "root-g1" else ",,"
        run([certutil, "-A", "-d", judged.store, "-n", name, "-t", trust, "-a", "-i", judged.pem(name)])
    return judged


def test_every_profile_is_judged(judged: Judged) -> None:
    assert sorted({profile for profile, _ in judged.leaves()}) == PROFILES == sorted(USES)
    for profile, name in judged.leaves():
        if profile.startswith(("citizen-", "derived-", "phone-", "passkey")):
            shown = run([required_program("openssl"), "x509", "-in", judged.pem(name), "-noout", "-text"]).stdout
            assert f"{PUBLICATION_URL}/crl/citizen-g1/" in shown, name


def test_gnutls(judged: Judged) -> None:
    certtool = [required_program("certtool"), "--verify", "--load-ca-certificate", judged.pem("root-g1"), "--infile"]
    chain = judged.folder / "chain.pem"
    for profile, name in judged.leaves():
        chain.write_bytes(judged.pem(name).read_bytes() + judged.pem("citizen-g1").read_bytes())
        purpose = [f"--verify-purpose={PURPOSES[profile][1]}"] if profile in PURPOSES else []
        assert "Chain verification output: Verified." in run([*certtool, chain, *purpose]).stdout, name
    chain.write_bytes(judged.pem("root-g2-by-g1").read_bytes())
    assert "Chain verification output: Verified." in run([*certtool, chain]).stdout
    chain.write_bytes(judged.pem("operator-p256").read_bytes() + judged.pem("root-g2-by-g1").read_bytes())
    refused = run([*certtool, chain], check=False)
    assert "Chain verification output: Verified." not in refused.stdout


def test_nss(judged: Judged) -> None:
    """Its older code by certutil, its newer (libpkix) by vfychain."""
    uses = [(USES[profile], name) for profile, name in judged.leaves()]
    for use, name in [*uses, (SSL_CA, "citizen-g1"), (SSL_CA, "root-g2-by-g1")]:
        if use is None:
            continue
        older = [required_program("certutil"), "-V", "-e", "-d", judged.store, "-n", name, "-u", use[0]]
        said = run(older, check=False)
        assert "certificate is valid" in said.stdout + said.stderr, (name, said)
        newer = [required_program("vfychain"), "-d", judged.store, "-pp", "-u", use[1:], "-a", judged.pem(name)]
        said = run(newer, check=False)
        assert said.stdout + said.stderr == "Chain is good!\n", (name, said)
    wrong = [required_program("vfychain"), "-d", judged.store, "-pp", "-u", "1", "-a", judged.pem("operator-p256")]
    assert "Chain is bad!" in run(wrong, check=False).stderr


def test_openssl(judged: Judged) -> None:
    openssl = [required_program("openssl"), "verify", "-x509_strict", "-policy_check"]
    paths = ["-CAfile", judged.pem("root-g1"), "-untrusted", judged.pem("citizen-g1")]
    for profile, name in judged.leaves():
        purpose = ["-purpose", PURPOSES[profile][0]] if profile in PURPOSES else []
        run([*openssl, *purpose, *paths, judged.pem(name)])
    run([*openssl, *paths, judged.pem("root-g2-by-g1")])


def test_pkilints_own_command(judged: Judged) -> None:
    linter = [Path(sys.executable).parent / "lint_pkix_cert", "lint", "-s", "NOTICE"]
    for name in judged.names:
        if not name.startswith("citizen-"):  # those are in test_ca_issuance_linters.py
            assert run([*linter, judged.pem(name)]).stdout.strip() == "", name
