"""The window's handlers. Nothing here answers a request that another site's page started in the background."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from card_bridge.consent.errors import FormForged, WindowClaimed
from card_bridge.consent.model import view_of
from card_bridge.consent.pages import STATIC_FOLDER, ConsentPages
from card_bridge.consent.service import ConsentWindows
from card_bridge.errors import BridgeError
from card_bridge.messages.catalogue import choose_language
from card_bridge.operations.errors import NotWaitingForPin
from card_bridge.operations.model import State
from card_bridge.operations.operation import Operation
from card_bridge.server.body import MAX_FORM_OCTETS, parse_form, read_body, wipe
from card_bridge.server.errors import MalformedForm, RequestRefused

SETTLE_S = 2.0
LOOK_S = 1.5
FIELDS = frozenset({"csrf_token", "action", "pin", "card", "last_try"})


def routes(windows: ConsentWindows, pages: ConsentPages, *, port: int) -> list[Route | Mount]:
    """/consent/… and the window's assets."""
    cookie = f"card-bridge-{port}"

    async def show(request: Request) -> Response:
        _verify_navigation(request)
        operation, key = windows.open(request.path_params["consent_id"], request.cookies.get(cookie, ""))
        await _looked(operation)
        view = view_of(operation.snapshot())
        response = pages.window(request, operation, view, csrf_token=windows.csrf_token(key))
        response.set_cookie(cookie, key, path="/consent", httponly=True, samesite="lax")
        return response

    async def act(request: Request) -> Response:
        _verify_same_origin(request)
        key = request.cookies.get(cookie, "")
        operation = windows.find(request.path_params["consent_id"], key)
        form = parse_form(await read_body(request, limit=MAX_FORM_OCTETS))
        try:
            windows.verify_form(key, _text(form, "csrf_token"))
            _act(operation, form)
        except NotWaitingForPin:
            pass  # the window has moved on; it is shown as it is
        except RequestRefused:
            raise
        except BridgeError as error:
            view = view_of(operation.snapshot(), notice=error.code)
            return pages.window(request, operation, view, csrf_token=windows.csrf_token(key), status=422)
        finally:
            for value in form.values():
                wipe(value)
        await _settled(operation)
        lang = choose_language(request.query_params.get("lang", ""), operation.request.lang)
        return RedirectResponse(f"/consent/{operation.consent_id}?lang={lang}", status_code=303)

    async def state(request: Request) -> Response:
        _verify_same_site_fetch(request)
        operation = windows.find(request.path_params["consent_id"], request.cookies.get(cookie, ""))
        operation.expire_if_due()
        snapshot = operation.snapshot()
        return JSONResponse(
            {"revision": snapshot.revision, "seconds_left": snapshot.seconds_left},
            headers={"Cache-Control": "no-store"},
        )

    return [
        Route("/consent/{consent_id:str}", show, methods=["GET"]),
        Route("/consent/{consent_id:str}", act, methods=["POST"]),
        Route("/consent/{consent_id:str}/state", state, methods=["GET"]),
        Mount("/assets", StaticFiles(directory=STATIC_FOLDER)),
    ]


def _act(operation: Operation, form: dict[str, bytearray]) -> None:
    if not form.keys() <= FIELDS:
        raise MalformedForm("a field that the window does not have")
    match _text(form, "action"):
        case "pin":
            card = _text(form, "card")
            # the operation takes the PIN over and wipes it, so it must not be wiped by the caller as well
            pin = form.pop("pin", bytearray())
            operation.submit(
                pin,
                card_index=int(card) if card.isascii() and card.isdigit() else None,
                knows_last_try=_text(form, "last_try") == "yes",
            )
        case "report":
            operation.report()
        case "cancel":
            operation.cancel()
        case _:
            raise MalformedForm("no such action")


def _text(form: dict[str, bytearray], field: str) -> str:
    try:
        return form.get(field, bytearray()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedForm(field) from error


async def _looked(operation: Operation) -> None:
    """Wait until the readers were looked at once, so that the window does not open with a wrong guess."""
    for _ in range(round(LOOK_S / 0.02)):
        if operation.snapshot().revision > 0:
            return
        await asyncio.sleep(0.02)


async def _settled(operation: Operation) -> None:
    """Wait for the card a moment, so that a browser without script sees the result at once."""
    for _ in range(round(SETTLE_S / 0.05)):
        if operation.snapshot().state is not State.SIGNING:
            return
        await asyncio.sleep(0.05)


def _verify_navigation(request: Request) -> None:
    """A window is opened as a document, or fetched by its own script; not as another site's image, frame or fetch."""
    site = request.headers.get("sec-fetch-site", "none")
    if site in ("same-origin", "none"):
        return
    if (request.headers.get("sec-fetch-mode"), request.headers.get("sec-fetch-dest")) != ("navigate", "document"):
        raise WindowClaimed("not opened as a window")


def _verify_same_origin(request: Request) -> None:
    """Raises: FormForged unless Origin is this very server as the request names it."""
    own = f"http://{request.headers['host']}"
    if (
        request.headers.getlist("origin") != [own]
        or request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
    ):
        raise FormForged


def _verify_same_site_fetch(request: Request) -> None:
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise FormForged
