"""Renders the window: templates, language, headers."""

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from card_bridge.consent.model import WindowView, claim_key
from card_bridge.messages.catalogue import Catalogues, Translator, choose_language
from card_bridge.operations.operation import Operation

PACKAGE = Path(str(files("card_bridge.consent")))
STATIC_FOLDER = PACKAGE / "static"


class ConsentPages:
    """HTML in the language that the address, the asking page or the browser names, in this order."""

    def __init__(self, catalogues: Catalogues) -> None:
        self._catalogues = catalogues
        self._templates = Environment(
            loader=FileSystemLoader(PACKAGE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def window(
        self, request: Request, operation: Operation, view: WindowView, *, csrf_token: str, status: int = 200
    ) -> HTMLResponse:
        """The consent window."""
        lang = choose_language(request.query_params.get("lang", ""), operation.request.lang)
        translate = self._catalogues.translator(lang)
        statement = operation.request.verified.statement
        return self._render(
            request,
            "consent.html",
            lang,
            status,
            view=view,
            csrf_token=csrf_token,
            client_name=statement.client_name.in_language(lang),
            purpose=statement.purpose.in_language(lang),
            provider_name=operation.request.provider_name.in_language(lang),
            origin=statement.origin,
            claims=[_claim_label(translate, claim) for claim in statement.claims],
            code=operation.request.verified.code,
        )

    def problem(self, request: Request, code: str, *, status: int) -> HTMLResponse:
        """A page of its own for a window that cannot be shown."""
        lang = choose_language(request.query_params.get("lang", ""), request.headers.get("accept-language", "")[:200])
        return self._render(request, "problem.html", lang, status, code=code)

    def _render(self, request: Request, template: str, lang: str, status: int, **context: object) -> HTMLResponse:
        html = self._templates.get_template(template).render(
            t=self._catalogues.translator(lang), lang=lang, path=request.url.path, **context
        )
        return HTMLResponse(html, status_code=status, headers={"Cache-Control": "no-store", "Content-Language": lang})


def _claim_label(translate: Translator, claim: str) -> str:
    key = claim_key(claim)
    return translate(key) if key else claim
