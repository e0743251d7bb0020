"""The calls of the login page and of the bridge, in JSON."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ca_core.kernel.web.body import parse_json_object, read_body
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.csrf import HEADER
from ca_core.kernel.web.failures import Failures
from ca_core.kernel.web.hop import Hop
from ca_core.kernel.web.messages import Translator
from ca_core.kernel.web.pages import Pages
from ca_core.kernel.web.responses import NO_STORE
from ca_core.kernel.web.security import request_id_of
from ca_core.validation.errors import CertificateRefused
from idp.authn.card.errors import StatementNotFound
from idp.authn.card.service import CardLoginService
from idp.authn.card.web_eid import MAX_TOKEN_BYTES
from idp.authn.door import Door
from idp.authorize.model import Redirect

_SMALL = 1_024
_CERTIFICATE_REFUSED = 403
_ENVELOPE = 64
"""What `{"auth_token": ...}` adds to the token itself, spaces included."""


def routes(service: CardLoginService, *, door: Door, pages: Pages, cookies: CookieNames, hop: Hop) -> list[Route]:
    failures = Failures(pages)

    async def challenge(request: Request) -> Response:
        entry = door.posted(request, request.headers.get(HEADER))
        parse_json_object(await read_body(request, limit=_SMALL))
        signed = await hop(service.challenge, entry)
        body = {"challenge_nonce": signed.challenge_nonce, "statement": signed.compact, "code": signed.code}
        return JSONResponse(body, headers=NO_STORE)

    async def token(request: Request) -> Response:
        entry = door.posted(request, request.headers.get(HEADER))
        octets = await read_body(request, limit=MAX_TOKEN_BYTES + _ENVELOPE)
        auth_token = parse_json_object(octets).get("auth_token")
        token_members = auth_token if isinstance(auth_token, dict) else {}
        until_now = cookies.read(request, "session")
        try:
            login = await hop(
                service.authenticate, entry, token_members, replaces=until_now, request_id=request_id_of(request)
            )
        except CertificateRefused as error:
            return failures.answer(request, _CERTIFICATE_REFUSED, error.code)
        onward = login.next.url if isinstance(login.next, Redirect) else login.next.path
        response = JSONResponse({"location": onward}, headers=NO_STORE)
        cookies.set_cookie(response, "session", login.session_token)
        return response

    async def failure(request: Request) -> Response:
        entry = door.posted(request, request.headers.get(HEADER))
        report = parse_json_object(await read_body(request, limit=_SMALL))
        code, tries_left = await hop(
            service.reported, entry, report.get("code"), report.get("tries_left"), request_id=request_id_of(request)
        )
        title, message = failure_text(pages.translator(request), code, tries_left)
        return JSONResponse({"title": title, "message": message}, headers=NO_STORE)

    async def statement(request: Request) -> Response:
        compact = await hop(service.statement, parse_digest(request.path_params["digest"]))
        return Response(compact, media_type="application/jwt", headers=NO_STORE)

    return [
        Route("/interaction/statement/{digest}", statement, methods=["GET"], name="statement"),
        Route("/interaction/{interaction_id}/card/challenge", challenge, methods=["POST"], name="card-challenge"),
        Route("/interaction/{interaction_id}/card", token, methods=["POST"], name="card"),
        Route("/interaction/{interaction_id}/card/failure", failure, methods=["POST"], name="card-failure"),
    ]


def parse_digest(text: str) -> bytes:
    """D from its untrusted base64url form, 43 characters in the one canonical spelling. Raises: StatementNotFound."""
    try:
        digest = urlsafe_b64decode(text.encode("ascii") + b"=")
    except (UnicodeEncodeError, Base64Error) as error:
        raise StatementNotFound("not base64url") from error
    if len(text) != 43 or urlsafe_b64encode(digest).decode("ascii") != f"{text}=":
        raise StatementNotFound("not a digest")
    return digest


def failure_text(t: Translator, code: str, tries_left: int | None) -> tuple[str, str]:
    """Title and message for what the bridge reported."""
    title, message = t.error(code)
    if tries_left is not None and f"error.{code}.tries" in t:
        message = t(f"error.{code}.tries", tries_left=tries_left)
    return title, message
