"""GnuTLS, NSS, OpenSSL and pkilint on the status of really issued certificates, asked for where these say."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from asn1crypto.keys import PublicKeyInfo
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from starlette.applications import Starlette

from ca_core.crl_shards import ShardLayouts
from ca_core.issuance import CertificateStore, IssuanceService
from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.rng import system_rng
from ca_core.kernel.web.hop import Hop
from ca_core.keys import KeyAlgorithm
from ca_core.revocation import RevocationReason, RevocationService, StatusLog
from ca_core.status import CrlArchive, CrlService, OcspResponder, Responders, StatusService
from ca_core.status.web import routes
from support.distribution import first_uri
from support.pki import World, ceremony, citizen_request
from support.processes import free_port, required_program, run
from support.served import served

ACTOR = "operator:7"
STATES = ("good", "revoked", "held", "resumed")
ENDED = ("revoked", "held")


@dataclass(frozen=True)
class House:
    """One certificate in each state; PEM files `<state>.pem`, `issuer.pem`, `root.pem`; lists of three kinds."""

    folder: Path
    url: str
    responder: OcspResponder
    issuer: x509.Certificate
    issued: dict[str, IssuedCertificate]

    def file(self, name: str, octets: bytes | None = None) -> Path:
        path = self.folder / name
        if octets is not None:
            path.write_bytes(octets)
        return path

    def fetched(self, uri: str) -> x509.CertificateRevocationList:
        return x509.load_der_x509_crl(httpx2.get(uri, trust_env=False).raise_for_status().content)

    def lists_of(self, state: str) -> dict[str, x509.CertificateRevocationList]:
        """What the certificate itself leads to: its shard, the complete list, and that one's delta."""
        extensions = self.issued[state].certificate.extensions
        shard, complete = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        freshest = extensions.get_extension_for_class(x509.FreshestCRL).value[0]
        points = {"shard": shard, "complete": complete, "delta": freshest}
        return {name: self.fetched(first_uri(point)) for name, point in points.items()}


@pytest.fixture(scope="module", params=[KeyAlgorithm.P_256, KeyAlgorithm.P_384, KeyAlgorithm.RSA_4096])
def house(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("judged")
    (folder / "database.db").write_bytes(sqlite_template.read_bytes())
    database = Database.open(sqlite_url(folder / "database.db"))
    port = free_port()
    url = f"http://127.0.0.1:{port}/pki"
    world = World(database, system_clock, system_rng, publication_url=url)
    world.hold(ceremony(publication_url=url, algorithm=request.param))
    log, store = StatusLog(), CertificateStore()
    shards = ShardLayouts(database, world.audit, system_clock)
    authority = world.registry.by_slug("citizen-g1")
    shards.introduce(authority.id, authority.slug, count=2, publication_url=url, actor=ACTOR)
    issuance = IssuanceService(
        database=database,
        registry=world.registry,
        key_store=world.key_store,
        profiles=world.profiles,
        audit=world.audit,
        publication_url=url,
        clock=system_clock,
        rng=system_rng,
        crl_shards=shards,
    )
    status = StatusService(log)
    responders = Responders(database, world.registry, world.key_store, status, system_clock)
    responders.ensure(world.issuance, system_rng)
    responder = OcspResponder(database, world.registry, store, status, log, responders, system_clock)
    crls = CrlService(
        database,
        world.registry,
        world.key_store,
        log,
        world.audit,
        system_clock,
        publication_url=url,
        shards=shards,
    )
    revocations = RevocationService(database, store, world.audit, system_clock)
    issued = {
        state: issuance.issue(citizen_request(state, card_number=f"{number:016d}"))
        for number, state in enumerate(STATES)
    }
    for state in ("held", "resumed"):
        revocations.suspend(authority.id, issued[state].serial, ACTOR)
    crls.publish_due()
    revocations.resume(authority.id, issued["resumed"].serial, ACTOR)
    revocations.revoke(authority.id, issued["revoked"].serial, RevocationReason.KEY_COMPROMISE, ACTOR)
    crls.publish_delta("citizen-g1")
    made = House(folder, url, responder, authority.certificate, issued)
    made.file("root.pem", world.registry.by_slug("root-g1").certificate.public_bytes(Encoding.PEM))
    made.file("issuer.pem", authority.certificate.public_bytes(Encoding.PEM))
    for state, one in issued.items():
        made.file(f"{state}.pem", one.certificate.public_bytes(Encoding.PEM))
    archive = CrlArchive(database, world.registry)
    app = Starlette(routes=routes(responder, archive, world.registry, Hop(database), system_clock))
    with served(app, port):
        yield made
    database.dispose()


def test_nss_asks_by_ocsp(house: House) -> None:
    store = f"sql:{house.folder}"
    certutil, vfychain = required_program("certutil"), required_program("vfychain")
    run([certutil, "-N", "-d", store, "--empty-password"])
    for name, trust in (("root", "CT,C,C"), ("issuer", ",,")):
        run([certutil, "-A", "-d", store, "-n", name, "-t", trust, "-a", "-i", house.file(f"{name}.pem")])
    asking = ["-g", "leaf", "-h", "requireFreshInfo", "-m", "ocsp", "-s", "failIfNoInfo"]
    for state in STATES:
        said = run([vfychain, "-d", store, "-pp", "-u", "0", *asking, "-a", house.file(f"{state}.pem")], check=False)
        told = said.stdout + said.stderr
        assert ("Chain is good!" in told, "has been revoked" in told) == (state not in ENDED, state in ENDED), told


def test_gnutls_asks_by_ocsp(house: House) -> None:
    tool = [required_program("ocsptool"), "--load-issuer", house.file("issuer.pem")]
    for state in STATES:
        for nonce in ("--nonce", "--no-nonce"):
            asked = [f"--ask={house.url}/ocsp", nonce, "--load-cert", house.file(f"{state}.pem")]
            said = run([*tool, *asked, "--load-trust", house.file("issuer.pem")], check=False)
            told = said.stdout + said.stderr
            assert "Verifying OCSP Response: Success" in told, told
            assert f"Certificate Status: {'revoked' if state in ENDED else 'good'}" in told
            assert said.returncode == 0  # the answer was verified; what it says is printed


def test_gnutls_openssl_and_pkilint_accept_every_list(house: House) -> None:
    for name, crl in house.lists_of("revoked").items():
        path = house.file(f"{name}.der", crl.public_bytes(Encoding.DER))
        pem = house.file(f"{name}.crl", crl.public_bytes(Encoding.PEM))
        certtool = [required_program("certtool"), "--verify-crl", "--load-ca-certificate", house.file("issuer.pem")]
        assert "Verified." in run([*certtool, "--infile", pem]).stdout, name
        openssl = [required_program("openssl"), "crl", "-in", pem, "-CAfile", house.file("issuer.pem"), "-noout"]
        said = run([*openssl, "-verify"])
        assert "verify OK" in said.stdout + said.stderr
        lint = [Path(sys.executable).parent / "lint_crl", "lint", "-t", "CRL", "-p", "PKIX", "-s", "NOTICE"]
        assert run([*lint, path]).stdout.strip() == "", name


def test_openssl_follows_shard_complete_and_delta(house: House) -> None:
    """The complete list is older than the last changes; with its delta it says what the shard's next will."""
    said: dict[str, dict[str, bool]] = {}
    for state in STATES:
        lists = house.lists_of(state)
        for name, several, options in (
            ("complete", ("complete",), ()),
            ("shard", ("shard",), ("-extended_crl",)),
            ("delta", ("complete", "delta"), ("-use_deltas", "-extended_crl")),
        ):
            file = house.file("lists.pem", b"".join(lists[one].public_bytes(Encoding.PEM) for one in several))
            chain = ["-CAfile", house.file("root.pem"), "-untrusted", house.file("issuer.pem"), "-CRLfile", file]
            openssl = [required_program("openssl"), "verify", "-crl_check", "-x509_strict", *options, *chain]
            done = run([*openssl, house.file(f"{state}.pem")], check=False)
            is_revoked = "certificate revoked" in done.stdout + done.stderr
            assert is_revoked or done.returncode == 0, (name, done)
            said.setdefault(name, {})[state] = is_revoked
    before = {"good": False, "revoked": False, "held": True, "resumed": True}
    assert said == {"complete": before, "shard": before, "delta": {state: state in ENDED for state in STATES}}


@pytest.mark.parametrize("by", [hashes.SHA1(), hashes.SHA256()], ids=["sha1", "sha256"])  # noqa: S303 - CertIDs
def test_pkilint_accepts_every_answer(house: House, by: hashes.HashAlgorithm) -> None:
    """Live, kept, signed beforehand, several at once, and about what was never issued."""
    linter = [Path(sys.executable).parent / "lint_ocsp_response", "lint", "-s", "NOTICE", "-f", "TEXT"]
    builder = ocsp.OCSPRequestBuilder()
    asked = {state: builder.add_certificate(one.certificate, house.issuer, by) for state, one in house.issued.items()}
    name, key = house.issuer.subject.public_bytes(), _hash(_key_bits(house.issuer), by)
    asked["unknown"] = builder.add_certificate_by_hash(_hash(name, by), key, 12345, by)
    octets = {state: built.build().public_bytes(Encoding.DER) for state, built in asked.items()}
    octets["nonce"] = asked["good"].add_extension(x509.OCSPNonce(b"n" * 32), False).build().public_bytes(Encoding.DER)
    answers = {state: house.responder.respond(request).der for state, request in octets.items()}
    house.responder.presigned.run_once()
    answers["beforehand"] = house.responder.respond(octets["revoked"]).der
    for state, der in answers.items():
        path = house.file("answer.der", der)
        linted = run([*linter, path], check=False)
        assert (linted.returncode, linted.stdout.strip()) == (0, ""), (state, linted)


def _key_bits(certificate: x509.Certificate) -> bytes:
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return bytes(PublicKeyInfo.load(spki)["public_key"].contents)[1:]  # without the count of unused bits


def _hash(octets: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    state = hashes.Hash(algorithm)
    state.update(octets)
    return state.finalize()
