"""A provider that signs statements, cards and readers of memory, a client that calls the app without sockets."""

import asyncio
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from card_bridge.main import assemble
from card_bridge.operations.model import AuthenticationRequest, Policy
from card_bridge.piv.errors import CardError, CardRemoved, NoCard, NoReader, PinBlocked, PinIncorrect
from card_bridge.piv.model import ReaderState, SignatureAlgorithm, Slot
from card_bridge.server.guard import LoopbackGuard
from card_bridge.settings import BridgeData, BridgeSettings
from card_bridge.statement.errors import StatementMissing
from card_bridge.statement.model import VerifiedStatement
from card_bridge.statement.providers import Provider, Providers, parse_providers
from card_bridge.statement.service import StatementVerifier

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
ORIGIN = "https://id.example.tw"
PORT = 61161
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def b64u(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def nonce_of(compact: str) -> str:
    return b64encode(sha256(compact.encode("utf-8", "surrogatepass")).digest()).decode("ascii")


def payload(now: datetime = NOW, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    issued = int(now.timestamp())
    members: dict[str, Any] = {
        "iss": ORIGIN,
        "iat": issued,
        "exp": issued + 60,
        "nonce": b64u(bytes(range(32))),
        "flow": "card",
        "origin": ORIGIN,
        "client_id": "tax",
        "client_name": {"zh-TW": "綜合所得稅電子申報", "en": "Income tax filing"},
        "purpose": {"zh-TW": "申報綜合所得稅", "en": "To file your income tax"},
        "acr": "urn:citizenid:loa:high",
        "claims": ["name", "birthdate"],
        "documents": [],
    }
    return members | changes


class StatementKey:
    """A provider's signing key, pinned under `kid`."""

    def __init__(self, kid: str = "s1") -> None:
        self.kid = kid
        self.key = ec.generate_private_key(ec.SECP256R1())

    def jwk(self) -> dict[str, str]:
        numbers = self.key.public_key().public_numbers()
        x, y = (b64u(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid, "alg": "ES256", "use": "sig"}

    def sign(self, members: dict[str, Any], header: dict[str, Any] | None = None) -> str:
        header = header or {"alg": "ES256", "typ": "citizen-statement+jwt", "kid": self.kid}
        return self.sign_octets(json.dumps(header).encode(), json.dumps(members, ensure_ascii=False).encode())

    def sign_octets(self, header: bytes, body: bytes) -> str:
        message = f"{b64u(header)}.{b64u(body)}"
        r, s = decode_dss_signature(self.key.sign(message.encode("ascii"), ec.ECDSA(hashes.SHA256())))
        return f"{message}.{b64u(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def providers(self, origin: str = ORIGIN, issuer: str = ORIGIN) -> Providers:
        name = {"zh-TW": "內政部身分識別服務", "en": "National Identity Service"}
        entry = {"origin": origin, "issuer": issuer, "name": name, "jwks": {"keys": [self.jwk()]}}
        return parse_providers(json.dumps({"providers": [entry]}).encode())

    def provider(self, **changes: Any) -> Provider:  # noqa: ANN401 - a field of Provider
        return replace(next(iter(self.providers())), **changes)

    def verified(self, **changes: Any) -> VerifiedStatement:  # noqa: ANN401 - a member of the statement
        compact = self.sign(payload(**changes))
        verifier = StatementVerifier(lambda: NOW)
        return verifier.verify(compact, challenge_nonce=nonce_of(compact), provider=self.provider())


def self_signed(key: PrivateKey, name: str = "citizen") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=365))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@dataclass
class FakeCard:
    """A card of memory. `fault` is raised at the named step: connect, certificate, verify_pin, sign."""

    pin: bytes = b"123456"
    tries: int | None = 3
    number: str | None = "1234567890123456"
    key: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    empty: bool = False
    faults: dict[str, CardError] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    seen_pins: list[bytearray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.der = self_signed(self.key)
        self._unlocked = False

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name in self.before:
            self.before[name]()
        if name in self.faults:
            raise self.faults[name]

    def card_number(self) -> str | None:
        return self.number

    def certificate(self, slot: Slot) -> bytes | None:
        self.step("certificate")
        assert slot is Slot.AUTHENTICATION
        return None if self.empty else self.der

    def pin_tries_left(self) -> int | None:
        return self.tries

    def verify_pin(self, pin: bytearray) -> None:
        self.seen_pins.append(pin)
        try:
            self.step("verify_pin")
            if self.tries == 0:
                raise PinBlocked
            if bytes(pin) != self.pin:
                if self.tries is not None:
                    self.tries -= 1
                if self.tries == 0:
                    raise PinBlocked
                raise PinIncorrect(self.tries)
            self._unlocked = True
        finally:
            pin[:] = bytes(len(pin))

    def sign(self, slot: Slot, digest: bytes, algorithm: SignatureAlgorithm) -> bytes:
        self.step("sign")
        assert slot is Slot.AUTHENTICATION
        assert self._unlocked
        assert len(digest) == algorithm.digest_size
        self._unlocked = False
        hash_algorithm = hashes.SHA384() if algorithm is SignatureAlgorithm.ES384 else hashes.SHA256()
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(digest, PKCS1v15(), Prehashed(hash_algorithm))
        size = self.key.key_size // 8
        r, s = decode_dss_signature(self.key.sign(digest, ec.ECDSA(Prehashed(hash_algorithm))))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")


class FakeReaders:
    """Readers by name, each with a card or None. `service` False: pcscd is not there; `fault`: it answers with this."""

    def __init__(self, **cards: FakeCard | None) -> None:
        self.cards: dict[str, FakeCard | None] = dict(cards)
        self.service = True
        self.fault: CardError | None = None
        self.calls = 0

    def list(self) -> list[ReaderState]:
        self.calls += 1
        if self.fault is not None:
            raise self.fault
        if not self.service:
            raise NoReader("pcscd does not run")
        return [ReaderState(name=name, card_present=card is not None) for name, card in self.cards.items()]

    @contextmanager
    def connect(self, reader_name: str) -> Iterator[FakeCard]:
        if reader_name not in self.cards:
            raise NoReader
        card = self.cards[reader_name]
        if card is None:
            raise NoCard
        card.step("connect")
        yield card
        if self.cards.get(reader_name) is not card:
            raise CardRemoved


class FakeMonotonic:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeSource:
    """What the provider hands out, by nonce."""

    def __init__(self) -> None:
        self.statements: dict[str, str] = {}
        self.asked: list[str] = []

    async def fetch(self, provider: Provider, challenge_nonce: str) -> str:
        self.asked.append(provider.origin)
        if challenge_nonce not in self.statements:
            raise StatementMissing("404")
        return self.statements[challenge_nonce]


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


class AsgiClient:
    """Calls an ASGI application with exactly the headers given; keeps nothing between calls."""

    def __init__(self, app: LoopbackGuard, host: str = f"127.0.0.1:{PORT}") -> None:
        self.app = app
        self.host = host

    def scope(self, method: str, target: str, headers: list[tuple[str, str]]) -> dict[str, Any]:
        path, _, query = target.partition("?")
        if not any(name.lower() == "host" for name, _ in headers):
            headers = [("host", self.host), *headers]
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", PORT),
            "state": {},
        }

    async def call(
        self, method: str, target: str, headers: list[tuple[str, str]] | None = None, body: bytes = b""
    ) -> Answer:
        async with self.stream(method, target, headers, body) as stream:
            return await stream.answer()

    def __call__(
        self, method: str, target: str, headers: list[tuple[str, str]] | None = None, body: bytes = b""
    ) -> Answer:
        return asyncio.run(self.call(method, target, headers, body))

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: list[tuple[str, str]] | None = None, body: bytes = b""
    ) -> AsyncIterator["Stream"]:
        stream = Stream(body)
        task = asyncio.create_task(self.app(self.scope(method, target, headers or []), stream.receive, stream.send))
        stream.task = task
        try:
            yield stream
        finally:
            stream.gone.set()
            await asyncio.wait_for(task, 10)


class Stream:
    """One response as it comes."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._buffer = ""
        self.gone = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:  # noqa: ANN401 - an ASGI message
        self._messages.put_nowait(message)

    async def message(self) -> dict[str, Any]:
        return await asyncio.wait_for(self._messages.get(), 10)

    async def answer(self) -> Answer:
        start = await self.message()
        body = b""
        while True:
            message = await self.message()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
        return Answer(status=start["status"], headers=headers, body=body)

    async def event(self) -> tuple[str, dict[str, Any]] | None:
        """The next server-sent event; None at the end of the stream."""
        while "\n\n" not in self._buffer:
            message = await self.message()
            if message["type"] == "http.response.start":
                assert message["status"] == 200
                continue
            self._buffer += message.get("body", b"").decode()
            if not message.get("more_body") and "\n\n" not in self._buffer:
                return None
        block, _, self._buffer = self._buffer.partition("\n\n")
        if block.startswith(":"):
            return await self.event()
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        return lines["event"], json.loads(lines["data"])


class Bridge:
    """The whole application over fakes."""

    def __init__(self, readers: FakeReaders | None = None, *, minimum_interval_s: float = 0.0) -> None:
        self.key = StatementKey()
        self.card = FakeCard()
        self.readers = readers or FakeReaders(**{"Reader 0": self.card})
        self.monotonic = FakeMonotonic()
        self.source = FakeSource()
        self.now = NOW
        settings = BridgeSettings(minimum_interval_s=minimum_interval_s)
        self.data = BridgeData(folder=Path(), settings=settings, providers=self.key.providers())
        app = assemble(
            self.data,
            self.readers,
            port=PORT,
            source=self.source,
            clock=lambda: self.now,
            monotonic=self.monotonic,
            policy=Policy(
                minimum_interval_s=minimum_interval_s, poll_interval_s=0.01, page_grace_s=0.05, page_arrival_s=0.3
            ),
        )
        self.client = AsgiClient(app)

    def statement(self, **changes: Any) -> dict[str, str]:  # noqa: ANN401 - a member of the statement
        compact = self.key.sign(payload(**changes))
        return {"challenge_nonce": nonce_of(compact), "statement": compact}

    @staticmethod
    def page(*more: tuple[str, str], origin: str = ORIGIN) -> list[tuple[str, str]]:
        return [("origin", origin), ("x-card-bridge", "1"), *more]

    def post(self, target: str, document: dict[str, Any], headers: list[tuple[str, str]] | None = None) -> Answer:
        return asyncio.run(self.apost(target, document, headers))

    async def apost(
        self, target: str, document: dict[str, Any], headers: list[tuple[str, str]] | None = None
    ) -> Answer:
        headers = self.page(("content-type", "application/json")) if headers is None else headers
        return await self.client.call("POST", target, headers, json.dumps(document).encode())

    def begin(self) -> dict[str, Any]:
        answer = self.post("/v1/authenticate", self.statement())
        assert answer.status == 202, answer.text
        return answer.json

    async def abegin(self) -> dict[str, Any]:
        answer = await self.apost("/v1/authenticate", self.statement())
        assert answer.status == 202, answer.text
        return answer.json


class Window:
    """The consent window in a browser without script: keeps its cookie, sends its forms."""

    def __init__(self, bridge: Bridge, begun: dict[str, Any]) -> None:
        self.client = bridge.client
        self.path = begun["consent_url"].partition(f":{PORT}")[2]
        self.cookie = ""
        self.shown = Answer(status=0, headers={}, body=b"")

    async def get(self, *headers: tuple[str, str], query: str = "") -> Answer:
        cookies = [("cookie", self.cookie)] if self.cookie else []
        self.shown = await self.client.call("GET", self.path + query, [*cookies, *headers])
        if "set-cookie" in self.shown.headers:
            self.cookie = self.shown.headers["set-cookie"].partition(";")[0]
        return self.shown

    async def until(self, part: str) -> Answer:
        """The window once it holds `part`."""
        for _ in range(1000):
            if part in (await self.get()).text:
                return self.shown
            await asyncio.sleep(0.005)
        raise AssertionError(f"{part} never came: {self.shown.text}")

    @property
    def csrf_token(self) -> str:
        return self.shown.text.partition('name="csrf_token" value="')[2].partition('"')[0]

    async def send(self, action: str, **fields: str) -> Answer:
        """The answer to a form of this window; a redirect is not followed."""
        own = ("origin", f"http://{self.client.host}")
        return await self.post([own, ("cookie", self.cookie)], csrf_token=self.csrf_token, action=action, **fields)

    async def post(self, headers: list[tuple[str, str]], **fields: str) -> Answer:
        return await self.client.call("POST", self.path, headers, urlencode(fields).encode())


def authentication_request(key: StatementKey, lifetime_s: float = 60.0) -> AuthenticationRequest:
    """What a page of the key's provider asks."""
    provider = key.provider()
    return AuthenticationRequest(
        origin=provider.origin,
        provider_name=provider.name,
        verified=key.verified(),
        lang="zh-TW",
        lifetime_s=lifetime_s,
    )
