"""The login page in a real browser: this server's real pages, a bridge that says what it is told, a relying party."""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ca_core.kernel.database import Database
from support.card_login import BROWSER, Card, LoginHouse, login_app
from support.fakes import FakeClock, SeededRng

REFUSALS = {
    "origin_not_allowed": 403,
    "origin_mismatch": 400,
    "statement_invalid": 400,
    "statement_expired": 400,
    "statement_mismatch": 400,
    "operation_pending": 409,
    "too_soon": 429,
}
WAITING: list[tuple[str, dict[str, object]] | None] = [
    ("state", {"state": "waiting_for_card"}),
    ("state", {"state": "waiting_for_pin"}),
]
SIGNED: list[tuple[str, dict[str, object]] | None] = [("state", {"state": "signing"}), ("result", {})]


@dataclass
class FakeBridge:
    """Answers as the bridge's modern API does. script: what is sent; None keeps the line open, `cut` breaks it."""

    origin: str
    page_origin: str
    card: Card
    refusal: str | None = None
    refusals: list[str] = field(default_factory=list)  # of the first requests, one each, before `refusal`
    scripts: list[list[tuple[str, dict[str, object]] | None]] = field(default_factory=list)  # likewise, before `script`
    script: list[tuple[str, dict[str, object]] | None] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    windows: list[str] = field(default_factory=list)

    def app(self) -> ASGIApp:
        return Starlette(
            routes=[
                HttpRoute("/v1/authenticate", self._authenticate, methods=["POST", "OPTIONS"]),
                HttpRoute("/v1/events", self._events, methods=["GET", "OPTIONS"]),
                HttpRoute("/v1/cancel", self._cancel, methods=["POST", "OPTIONS"]),
                HttpRoute("/consent/{id}", self._window),
            ]
        )

    async def _authenticate(self, request: HttpRequest) -> Response:
        if request.method == "OPTIONS":
            return self._preflight()
        assert request.headers["x-card-bridge"] == "1"
        self.asked.append(await request.json())
        refusal = self.refusals.pop(0) if self.refusals else self.refusal
        if refusal is not None:
            return JSONResponse({"code": refusal}, REFUSALS[refusal], self._cors(), "application/problem+json")
        consent_url = f"{self.origin}/consent/operation-1?t=secret"
        return JSONResponse(
            {"operation_id": "operation-1", "consent_url": consent_url, "expires_in": 60}, 202, self._cors()
        )

    async def _events(self, request: HttpRequest) -> Response:
        if request.method == "OPTIONS":
            return self._preflight()

        script = self.scripts.pop(0) if self.scripts else self.script

        async def lines() -> AsyncIterator[str]:
            yield ": open\n\n"
            for step in script:
                if step is None:
                    while not self.cancelled:
                        await asyncio.sleep(0.02)
                    return
                event, data = step
                if event == "cut":
                    raise ConnectionAbortedError
                if event == "result":
                    data = {"auth_token": self.card.token(self.asked[-1]["challenge_nonce"], origin=self.page_origin)}
                yield f"event: {event}\n"
                await asyncio.sleep(0.01)
                yield f"data: {json.dumps(data)}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream", headers=self._cors())

    async def _cancel(self, request: HttpRequest) -> Response:
        if request.method == "OPTIONS":
            return self._preflight()
        self.cancelled.append((await request.json())["operation_id"])
        return Response(status_code=204, headers=self._cors())

    async def _window(self, request: HttpRequest) -> Response:
        self.windows.append(str(request.url))
        return Response("<!doctype html><title>the bridge's window</title>", media_type="text/html")

    def _cors(self) -> dict[str, str]:
        return {"Access-Control-Allow-Origin": self.page_origin, "Access-Control-Allow-Private-Network": "true"}

    def _preflight(self) -> Response:
        allowed = {"Access-Control-Allow-Headers": "content-type, x-card-bridge"}
        return Response(status_code=204, headers=self._cors() | allowed)


@dataclass
class ClosingRace:
    """While it is on, each connection that was used before is closed as its next request arrives, unanswered.

    So ends a keep-alive time on the one side at the moment of a request on the other. by: "fin" or "rst".
    """

    by: str = ""
    closed: int = 0

    def protocol(self) -> type[HttpToolsProtocol]:
        race = self

        class Closing(HttpToolsProtocol):
            used = False

            def data_received(self, data: bytes) -> None:
                if self.used and race.by:
                    race.closed += 1
                    if race.by == "rst":
                        connection: socket.socket = self.transport.get_extra_info("socket")
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.transport.abort()
                    return
                super().data_received(data)

            def on_response_complete(self) -> None:
                self.used = True  # not with the first octets: a request may come in several pieces
                super().on_response_complete()

        return Closing


@contextmanager
def served(app: ASGIApp, listening: socket.socket, race: ClosingRace | None = None) -> Iterator[None]:
    """The app on a socket that listens already, in a thread of this process."""
    config = uvicorn.Config(
        app,
        http="auto" if race is None else race.protocol(),
        log_level="critical",
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=0,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    yield
    server.should_exit = True
    thread.join(timeout=10)


def listening_socket() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen()
    return made


RELYING_PARTY_PAGE = '<!doctype html><link rel="icon" href="data:,"><title>the relying party</title>'
"""With an icon of its own: else the browser asks for /favicon.ico, and notes that there is none."""


async def relying_party(request: HttpRequest) -> Response:
    return Response(RELYING_PARTY_PAGE, media_type="text/html")


@dataclass
class Scene:
    house: LoginHouse
    bridge: FakeBridge
    context: BrowserContext
    page: Page
    origin: str
    complaints: list[str]
    race: ClosingRace

    def open(self, lang: str = "en") -> None:
        self.page.goto(f"{self.origin}/interaction/interaction-1?lang={lang}")

    def start(self) -> None:
        """Presses the button that there is: the first time to start, later to try again."""
        self.page.click("#card-start:visible, #card-retry:visible")


def _complaint(message: ConsoleMessage) -> str:
    return f"{message.text} {message.location['url']}"


@contextmanager
def login_scene(browser: Browser, database_url: str, clock: FakeClock, rng: SeededRng) -> Iterator[Scene]:
    """A page that has not been opened yet, of an interaction that has begun."""
    database = Database.open(database_url)
    page_socket, bridge_socket, party_socket = listening_socket(), listening_socket(), listening_socket()
    origin = f"http://localhost:{page_socket.getsockname()[1]}"
    bridge_origin = f"http://127.0.0.1:{bridge_socket.getsockname()[1]}"
    house = LoginHouse(database, clock, rng, origin=origin)
    house.interactions.callback = f"http://127.0.0.1:{party_socket.getsockname()[1]}/callback"
    house.interactions.begin()
    bridge = FakeBridge(bridge_origin, origin, house.ca.card())
    context = browser.new_context(viewport={"width": 360, "height": 740}, locale="en-GB")
    context.add_cookies(
        [{"name": f"citizenid-browser-{page_socket.getsockname()[1]}", "value": BROWSER, "url": origin}]
    )
    complaints: list[str] = []
    race = ClosingRace()
    page = context.new_page()
    page.on("console", lambda message: complaints.append(_complaint(message)) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    with (
        served(login_app(house, origin, bridge_origin), page_socket, race),
        served(bridge.app(), bridge_socket, race),
        served(Starlette(routes=[HttpRoute("/callback", relying_party)]), party_socket),
    ):
        yield Scene(house, bridge, context, page, origin, complaints, race)
        context.close()
    database.dispose()
