"""More targets of the fuzzer: what time stamping, the log, the signer's port, imports, logins and the bridge parse."""

import asyncio
import json
import tempfile
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, cast

import uvicorn
from asn1crypto.tsp import MessageImprint, TimeStampReq
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from uvicorn.server import ServerState

from ca_core.audit.checkpoint import parse_checkpoint
from ca_core.audit.errors import AuditError, AuditLogFault
from ca_core.audit.note import parse_note, parse_verifier_key
from ca_core.audit.tiles import parse_bundle, parse_tile_path
from ca_core.cards.model import CardSlot
from ca_core.cards.station import _by_slot, _parse_answer
from ca_core.kernel.errors import DomainError, Unavailable
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.csrf import Csrf, verify_same_origin
from ca_core.kernel.web.messages import negotiate
from ca_core.kernel.web.protocol import BoundedHttpProtocol
from ca_core.migration.authorities import _parse as parse_authority
from ca_core.migration.crls import CrlSource
from ca_core.migration.holders import HolderImporter, HolderSource
from ca_core.migration.model import Cursor
from ca_core.migration.sources import open_certificates
from ca_core.registration.imported import HolderRegister
from ca_core.signer.model import Caller
from ca_core.signer.service import SignerService
from ca_core.signer.web import OFFERS
from ca_core.signer.wire import RequestBody
from ca_core.statement.wire import parse_compact
from ca_core.status.crl_reader import CrlReader
from ca_core.status.errors import StatusError
from ca_core.timestamp.model import TimestampSettings
from ca_core.timestamp.request import parse_timestamp_request
from ca_core.validation.presented import parse_presented_certificate
from card_bridge.apdu import tlv
from card_bridge.apdu.chain import channel_over
from card_bridge.apdu.errors import ApduError
from card_bridge.apdu.model import ResponseApdu
from card_bridge.errors import BridgeError
from card_bridge.piv.card import PivCard
from card_bridge.piv.errors import CardError
from card_bridge.piv.model import KeyAlgorithm, SignatureAlgorithm, Slot
from card_bridge.server.body import parse_form as parse_bridge_form
from card_bridge.statement.jose import parse_json_object as parse_bridge_json
from card_bridge.statement.model import parse_statement
from card_bridge.web_eid.model import algorithm_for, parse_nonce
from card_bridge.web_eid.origin import parse_origin
from idp.authn.card.web import parse_digest
from idp.authn.card.web_eid import TokenAlgorithm, UnverifiedToken, verify_signature
from idp.clients.authentication import parse_basic
from idp.provider_keys.service import TokenKeys
from idp.userinfo.bearer import parse_bearer
from support.fakes import START, FakeClock
from support.pki import citizen_request
from support.small_pki import SmallPki, der_of, new_key

Target = Callable[[bytes], None]


@cache
def pki() -> SmallPki:
    return SmallPki()


@cache
def keys() -> TokenKeys:
    return TokenKeys(ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048))


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="citizenid-fuzz-"))


def _file(name: str, octets: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(octets)
    return path


def fuzz_timestamp_request(octets: bytes) -> None:
    with suppress(DomainError):
        parsed = parse_timestamp_request(octets, TimestampSettings())
        assert len(parsed.imprint) in (32, 48, 64)


def fuzz_note(octets: bytes) -> None:
    with suppress(AuditError):
        note = parse_note(octets)
        assert note.text.endswith("\n")
        parse_checkpoint(note.text)
    with suppress(AuditError):
        parse_verifier_key(octets.decode("latin-1"))


def fuzz_tile(octets: bytes) -> None:
    path = octets.decode("latin-1")
    with suppress(ValueError):
        assert parse_tile_path(path).path == path
    with suppress(ValueError, AuditLogFault):
        parse_bundle(octets)


class _Refusing:
    """A signer that refuses whatever was parsed."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def refuse(*_arguments: object, **_named: object) -> NoReturn:
            raise Unavailable(name)

        return refuse


def fuzz_signer_wire(octets: bytes) -> None:
    service, caller = cast(SignerService, _Refusing()), cast(Caller, None)
    for offer in OFFERS:
        with suppress(DomainError):
            offer.serve(service, caller, octets, "")


def fuzz_crl(octets: bytes) -> None:
    """As an import reads one, and as the checker of our own lists does."""
    with suppress(StatusError):
        for _ in CrlReader([octets], pki().g3.public_key).entries():
            pass
    with suppress(DomainError):
        for _ in CrlSource(_file("crl", octets), pki().g3).items(Cursor()):
            pass


def fuzz_import(octets: bytes) -> None:
    """PEM, LDIF, DER, and an authority's certificate."""
    with suppress(DomainError):
        parse_authority(octets)
    with suppress(DomainError):
        last = Cursor()
        for item in open_certificates(_file("import", octets)).items(Cursor()):
            assert item.after.offset >= last.offset
            last = item.after
            if item.octets is not None:
                with suppress(DomainError):
                    parse_presented_certificate(item.octets)


_COLUMNS = b"national_id,name,birthdate,gender,subject_serial_number,email\n"


def fuzz_holders(octets: bytes) -> None:
    importer = HolderImporter(cast(HolderRegister, None), FakeClock())
    for content in (octets, _COLUMNS + octets):
        with suppress(DomainError):
            for item in HolderSource(_file("holders", content)).items(Cursor()):
                importer.prepare(item)


def fuzz_login(octets: bytes) -> None:
    """A hint, client credentials, a bearer token, a statement, and a signature that came with a login."""
    text = octets.decode("latin-1")
    with suppress(DomainError):
        keys().verify(text)
    with suppress(DomainError):
        client_id, secret = parse_basic(text)
        assert "\x00" not in client_id + secret
    with suppress(DomainError):
        parse_bearer([text], elsewhere=False)
    with suppress(DomainError):
        parse_compact(text)
    with suppress(DomainError):
        parse_digest(text)
    for algorithm in TokenAlgorithm:
        for key in (_EC, _RSA):
            token = UnverifiedToken(unverified_certificate=b"", algorithm=algorithm, signature=octets, app_version="")
            with suppress(DomainError):
                verify_signature(token, key, origin="https://id.example", challenge_nonce="n" * 44)
                raise AssertionError("a forged signature was accepted")


_EC = ec.generate_private_key(ec.SECP256R1()).public_key()
_RSA = rsa.generate_private_key(65537, 2048).public_key()


def fuzz_headers(octets: bytes) -> None:
    """Each line a header's value: cookies, languages, origins, tokens; the first line a query."""
    query, *lines = octets.split(b"\n")
    names = (b"cookie", b"accept-language", b"origin", b"sec-fetch-site", b"host")
    request = Request({"type": "http", "headers": list(zip(names, lines, strict=False)), "query_string": query})
    cookies = CookieNames("https://id.example")
    negotiate(request, cookie_name=cookies.name("lang"))
    browser = cookies.read(request, "browser")
    with suppress(DomainError):
        verify_same_origin(request, "https://id.example")
        Csrf(b"c" * 32).verify(browser, query.decode("latin-1"))
        raise AssertionError("a forged CSRF token was accepted")


class _Sink(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.is_over = False

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        self.is_over = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as asyncio's own
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _no_content(_scope: object, _receive: object, send: Callable[..., Any]) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@cache
def _http_config() -> uvicorn.Config:
    return uvicorn.Config(_no_content, http=BoundedHttpProtocol, ws="none", lifespan="off", log_config=None)


def fuzz_http(octets: bytes) -> None:
    """The server's side of a connection, at once and in two halves."""

    async def run() -> None:
        for parts in ([octets], [octets[: len(octets) // 2], octets[len(octets) // 2 :]]):
            protocol = BoundedHttpProtocol(_http_config(), ServerState(), {}, asyncio.get_running_loop())
            transport = _Sink()
            protocol.connection_made(transport)
            for part in parts:
                if not transport.is_closing():
                    protocol.data_received(part)
            await asyncio.sleep(0)
            protocol.connection_lost(None)

    asyncio.run(run())


class _Hostile:
    """A card that answers whatever it likes: each answer's length stands before it."""

    def __init__(self, octets: bytes) -> None:
        self._left = octets

    def transmit(self, command: bytearray) -> bytes:
        size = self._left[0] if self._left else 0
        answer, self._left = self._left[1 : 1 + size], self._left[1 + size :]
        return answer or b"\x90\x00"


_Asked = Callable[[PivCard], object]
_CARD_CALLS: tuple[_Asked, ...] = (
    lambda card: card.card_number(),
    lambda card: [algorithm_for(der) for der in [card.certificate(Slot.AUTHENTICATION)] if der],
    lambda card: card.discovery(),
    lambda card: card.pin_tries_left(),
    lambda card: card.verify_pin(bytearray(b"123456")),
    lambda card: [card.sign(Slot.AUTHENTICATION, b"d" * 32, one) for one in (SignatureAlgorithm.ES256,)],
    lambda card: card.sign(Slot.AUTHENTICATION, b"d" * 48, SignatureAlgorithm.ES384),
    lambda card: card.sign(Slot.AUTHENTICATION, b"d" * 32, SignatureAlgorithm.RS256),
    lambda card: card.decrypt_rsa(Slot.ENCRYPTION, b"c" * 256),
    lambda card: card.metadata(0x9A),
    lambda card: card.authenticate_management(b"k" * 24),
    lambda card: [card.generate_key(Slot.AUTHENTICATION, kind) for kind in KeyAlgorithm],
    lambda card: (card.version(), card.serial()),
)


def fuzz_card(octets: bytes) -> None:
    """Every question to a hostile card ends in an answer or in the bridge's own errors."""
    with suppress(ApduError):
        ResponseApdu.parse(octets)
    with suppress(ApduError):
        tlv.parse(octets)
    for call in _CARD_CALLS:
        with suppress(CardError, BridgeError):
            card = PivCard(channel_over(_Hostile(b"\x02\x90\x00" + octets)), random=bytes)
            call(card)


def fuzz_station(octets: bytes) -> None:
    """What a personalisation station answers."""
    with suppress(DomainError):
        answer = _parse_answer(octets, "generate")
        assert all(isinstance(slot, CardSlot) for slot in _by_slot(answer.get("keys"), "csr", x509.load_der_x509_csr))


def fuzz_bridge(octets: bytes) -> None:
    """What a page sends to the bridge."""
    with suppress(BridgeError):
        parse_bridge_form(bytearray(octets))
    with suppress(BridgeError, ValueError):
        parse_statement(parse_bridge_json(octets))
    text = octets.decode("latin-1")
    with suppress(BridgeError):
        parse_nonce(text)
    with suppress(BridgeError):
        parse_origin(text)


MORE_TARGETS: dict[str, Target] = {
    "timestamp-request": fuzz_timestamp_request,
    "note": fuzz_note,
    "tile": fuzz_tile,
    "signer-wire": fuzz_signer_wire,
    "crl": fuzz_crl,
    "import": fuzz_import,
    "holders": fuzz_holders,
    "login": fuzz_login,
    "headers": fuzz_headers,
    "http": fuzz_http,
    "card": fuzz_card,
    "station": fuzz_station,
    "bridge": fuzz_bridge,
}


def _crl() -> bytes:
    revoked = x509.RevokedCertificateBuilder().serial_number(7).revocation_date(START)
    revoked = revoked.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
    builder = x509.CertificateRevocationListBuilder().issuer_name(pki().g3.certificate.subject)
    builder = builder.last_update(START).next_update(START.replace(year=START.year + 1))
    builder = builder.add_extension(x509.CRLNumber(3), critical=False).add_revoked_certificate(revoked.build())
    key = pki().keys.private_key(pki().g3.key_label)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _answers(*parts: bytes) -> bytes:
    return b"".join(bytes((len(part),)) + part for part in parts)


def more_seeds(target: str) -> list[bytes]:
    """Well-formed inputs to begin with, new keys each time."""
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(new_key(), hashes.SHA256())
    if target == "timestamp-request":
        imprint = MessageImprint({"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": b"h" * 32})
        return [TimeStampReq({"version": 1, "message_imprint": imprint, "nonce": 7, "cert_req": True}).dump()]
    if target == "note":
        line = "\N{EM DASH} id.example/log " + b64encode(b"k" * 68).decode()
        return [f"id.example/log\n7\n{b64encode(b'r' * 32).decode()}\n\n{line}\n".encode(), b"name+00000000+AQ=="]
    if target == "tile":
        return [b"0/x001/234.p/7", b"entries/000", b"\x00\x02ab\x00\x00"]
    if target == "signer-wire":
        request = json.loads(RequestBody.of(citizen_request()).model_dump_json())
        many = {"requests": [request, request], "lint": "template"}
        return [json.dumps({"request": request}).encode(), json.dumps(many).encode(), b"{}"]
    if target == "crl":
        return [_crl()]
    if target == "import":
        certificate = pki().issue(pki().g3).certificate
        pem, der = (certificate.public_bytes(form) for form in (Encoding.PEM, Encoding.DER))
        ldif = b"version: 1\ndn: cn=x\nuserCertificate;binary:: " + b64encode(der)
        return [pem, der, ldif, der_of(pki().issue(pki().g3, "ocsp-responder"))]
    if target == "holders":
        return ["A123456789,王小明,1990-02-28,male,1234567890123456,a@b.example\n".encode(), _COLUMNS]
    if target == "login":
        token = keys().sign({"iss": "x"}, next(iter(keys()._headers)))
        return [token.encode(), b"Basic YTpi", b"Bearer abc", b"A" * 43, bytes(64), bytes(256)]
    if target == "headers":
        return [b"lang=en&x=%E7\n__Host-citizenid-browser=abc; x=y\nzh-TW,en;q=0.5\nnull\nnone\nid.example"]
    if target == "http":
        body = b"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /x?y HTTP/1.0\r\n\r\n"
        return [body, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\nX: y\r\n\r\n"]
    if target == "card":
        certificate_object = b"\x53\x0a\x70\x03abc\x71\x01\x00\xfe\x00\x90\x00"
        return [
            _answers(certificate_object),
            _answers(b"\x61\x05", b"\x7c\x03\x82\x01x\x90\x00"),
            _answers(b"\x63\xc3"),
        ]
    if target == "station":
        entry = {"slot": next(iter(CardSlot)).value, "csr": b64encode(csr.public_bytes(Encoding.DER)).decode()}
        return [json.dumps({"done": "generate", "keys": [entry]}).encode(), b'{"error":"x"}']
    return [b"pin=123456&lang=en", b'{"flow":"card","iat":1,"exp":2}', b"https://id.example", b"A" * 44]
