"""What the fuzzer throws octets at: every parser that meets untrusted ones. A target ends in the house's own errors or
in a result that holds what the parser promises; whatever else comes out of it is a finding."""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.authorities.model import AuthoritySigner
from ca_core.issuance.checks import Candidate, verify_candidate
from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.errors import DomainError
from ca_core.kernel.web.body import MAX_DEPTH, parse_form, parse_json_object
from ca_core.keys.model import PublicKey
from ca_core.profiles.loader import load_profiles
from ca_core.revocation import StatusLog, der
from ca_core.status import OcspResponder, Responders, StatusService
from ca_core.status.ocsp_request import parse_ocsp_request
from ca_core.status.ocsp_web import parse_ocsp_path
from ca_core.validation.presented import parse_presented_certificate
from idp.authn.card.web_eid import parse_token
from idp.authorize.claims_parameter import parse_claims_parameter
from idp.authorize.web import parse_parameters
from support.fakes import START, FakeClock, SeededRng
from support.fuzz_parsers import MORE_TARGETS, more_seeds
from support.ocsp_requests import ocsp_request
from support.pki import ceremony_toml, citizen_request
from support.small_pki import RequestIssuer, SmallPki, der_of, new_key
from support.tables import create_tables

Target = Callable[[bytes], None]
LIMIT_S = 1.0
"""Longer than this on one input is a finding too."""


@cache
def pki() -> SmallPki:
    return SmallPki()


@cache
def responder() -> OcspResponder:
    """A whole responder over an embedded database of its own, for as long as the process lives."""
    folder = Path(tempfile.mkdtemp(prefix="citizenid-fuzz-"))
    url = sqlite_url(folder / "fuzz.db")
    create_tables(url)
    database, clock, status = Database.open(url), FakeClock(), StatusService(StatusLog())
    responders = Responders(database, pki().authorities, pki().keys, status, clock)
    responders.ensure(RequestIssuer(pki(), clock), SeededRng())
    return OcspResponder(database, pki().authorities, pki().certificates, status, StatusLog(), responders, clock)


def fuzz_ocsp_request(octets: bytes) -> None:
    with suppress(DomainError):
        parsed = parse_ocsp_request(octets, max_bytes=8_192, max_certificates=16)
        assert 1 <= len(parsed.cert_ids) <= 16
        assert all(found.octets in octets for found in parsed.cert_ids)


def fuzz_ocsp_answer(octets: bytes) -> None:
    """It never raises, and every answer is an OCSPResponse."""
    ocsp.load_der_ocsp_response(responder().respond(octets).der)


def fuzz_ocsp_path(octets: bytes) -> None:
    with suppress(ValueError):
        parse_ocsp_path(octets.decode("latin-1"))


def fuzz_certificate(octets: bytes) -> None:
    with suppress(DomainError):
        parsed = parse_presented_certificate(octets)
        assert parsed.serial > 0


def fuzz_csr(octets: bytes) -> None:
    """As the signer reads one: what cannot be read is refused there; what can goes through the checks of issuance."""
    try:
        csr = x509.load_der_x509_csr(octets)
        key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return
    if isinstance(key, PublicKey):
        authority = pki().g3
        signer = AuthoritySigner(
            id=authority.id,
            slug=authority.slug,
            role=authority.role,
            key_label=authority.key_label,
            public_key=authority.public_key,
            key_identifier=authority.key_identifier,
            profiles=authority.profiles,
            certificate=authority.certificate,
        )
        request = citizen_request(authority=authority.slug, public_key=key, csr=csr)
        profile = load_profiles()["citizen-authentication"]
        with suppress(DomainError):
            verify_candidate(Candidate(request=request, profile=profile, signer=signer, now=START))


def fuzz_ceremony(octets: bytes) -> None:
    with suppress(DomainError):
        parse_ceremony(octets)


def fuzz_form(octets: bytes) -> None:
    with suppress(DomainError):
        parse_form(octets)
    with suppress(DomainError):
        parse_parameters(octets)


def fuzz_json(octets: bytes) -> None:
    with suppress(DomainError):
        members = parse_json_object(octets)
        assert depth_of(members) <= MAX_DEPTH
        parse_token(members)
    with suppress(DomainError):
        parse_claims_parameter(octets.decode("utf-8", "surrogateescape"))


def depth_of(value: object) -> int:
    """How many arrays and objects stand in one another at most."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


TARGETS: dict[str, Target] = {
    "ocsp-request": fuzz_ocsp_request,
    "ocsp-answer": fuzz_ocsp_answer,
    "ocsp-path": fuzz_ocsp_path,
    "certificate": fuzz_certificate,
    "csr": fuzz_csr,
    "ceremony": fuzz_ceremony,
    "form": fuzz_form,
    "json": fuzz_json,
    **MORE_TARGETS,
}


@dataclass(frozen=True)
class Seeds:
    """Well-formed inputs to begin with, new keys each time."""

    def of(self, target: str) -> list[bytes]:
        if target in MORE_TARGETS:
            return more_seeds(target)
        if target in ("ocsp-request", "ocsp-answer"):
            issued = pki().issue(pki().g3)
            plain = ocsp_request(issued, pki().g3)
            return [plain, ocsp_request(issued, pki().g3, nonce=b"n" * 32, by=hashes.SHA256()), several(plain, 3)]
        if target == "ocsp-path":
            return [b"MFAwTjBMMEowSDAJBgUrDgMCGgUABBQ=", b"%%%", b"A" * 2_000]
        if target == "certificate":
            return [der_of(pki().issue(pki().g3, profile)) for profile in ("citizen-authentication", "ocsp-responder")]
        if target == "csr":
            empty = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
            return [empty.sign(new_key(), hashes.SHA256()).public_bytes(Encoding.DER)]
        if target == "ceremony":
            return [ceremony_toml().encode()]
        if target == "form":
            return [b"a=b&c=%E7%8E%8B", b"response_type=code&client_id=x&redirect_uri=https%3A%2F%2Frp.example%2Fcb"]
        return [b'{"userinfo":{"name":{"essential":true}},"id_token":{"acr":{"values":["a"]}}}', b'{"auth_token":{}}']


def several(request: bytes, count: int) -> bytes:
    """The same question asked several times in one request."""
    single = request[6:] if request[1] < 0x80 else request[9:]
    return der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, single * count)))


def hostile(seed: bytes, rng: random.Random) -> Iterator[bytes]:
    """Truncated, altered, inflated, deepened and huge forms of one input; the same for the same random numbers."""
    for cut in sorted({0, 1, 2, 5, *(rng.randrange(len(seed)) for _ in range(20))}):
        yield seed[:cut]
    for _ in range(60):
        altered = bytearray(seed)
        for _ in range(rng.randint(1, 4)):
            altered[rng.randrange(len(altered))] = rng.randrange(256)
        yield bytes(altered)
    for _ in range(20):
        at = rng.randrange(len(seed))
        yield seed[:at] + bytes([0x84, 0x7F, 0xFF, 0xFF, 0xFF]) + seed[at:]
    yield b"\x30\x80" * 4_000
    yield b"[" * 100_000
    yield b"\x30\x84\x00\x10\x00\x00" + bytes(1 << 20)
    nested = b""
    for _ in range(1_500):
        nested = der.tlv(der.SEQUENCE, nested)
    yield nested
