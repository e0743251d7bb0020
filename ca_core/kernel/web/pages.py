"""HTML pages: Jinja templates over one base layout, escaped, in the reader's language, never cached."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from ca_core.kernel.web.assets import Assets
from ca_core.kernel.web.cookies import CookieNames
from ca_core.kernel.web.messages import LANGUAGES, Catalogues, Language, Translator, match_language, negotiate
from ca_core.kernel.web.responses import NO_STORE
from ca_core.kernel.web.security import content_security_policy, request_id_of

OWN_TEMPLATES = Path(__file__).parent / "templates"
OWN_STATIC = Path(__file__).parent / "static"
OWN_MESSAGES = Path(__file__).parents[1] / "messages"
_LANGUAGE_COOKIE_S = 365 * 86_400


class Pages:
    """Renders templates. Every template is compiled at start, so that a broken one stops it."""

    def __init__(
        self, catalogues: Catalogues, template_folders: Sequence[Path], *, assets: Assets, cookies: CookieNames
    ) -> None:
        self.catalogues = catalogues
        self._cookies = cookies
        self._environment = Environment(
            loader=FileSystemLoader([*template_folders, OWN_TEMPLATES]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals["asset"] = assets.url
        self._templates = {
            name: self._environment.get_template(name) for name in self._environment.list_templates(extensions=["html"])
        }
        self._plain_policy = content_security_policy()

    def language(self, request: Request, *, ui_locales: str = "") -> Language:
        """The language this request is answered in; the same at every call for one request."""
        return negotiate(request, cookie_name=self._cookies.name("lang"), ui_locales=ui_locales)

    def translator(self, request: Request, *, ui_locales: str = "") -> Translator:
        return self.catalogues.translator(self.language(request, ui_locales=ui_locales))

    def render(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        ui_locales: str = "",
        connect: Iterable[str] = (),
        form_action: Iterable[str] = (),
        **context: object,
    ) -> HTMLResponse:
        """The page. In templates: `t` (texts), `lang`, `asset(name)`, `language_links`, `request_id`, and the context.

        connect, form_action: see `content_security_policy`. A language chosen by `?lang=` is remembered in a cookie.
        """
        t = self.translator(request, ui_locales=ui_locales)
        html = self._templates[template].render(
            t=t,
            lang=t.lang,
            language_links=_language_links(request, t.lang),
            request_id=request_id_of(request),
            **context,
        )
        own_policy = connect or form_action
        policy = content_security_policy(connect=connect, form_action=form_action) if own_policy else self._plain_policy
        response = HTMLResponse(
            html,
            status_code=status,
            headers={**NO_STORE, "Content-Security-Policy": policy, "Content-Language": t.lang},
        )
        if request.scope["query_string"] and match_language(request.query_params.get("lang", "")):
            self._cookies.set_cookie(response, "lang", t.lang, _LANGUAGE_COOKIE_S)
        return response


def _language_links(request: Request, current: Language) -> list[tuple[Language, str]]:
    """The same page in the other language; empty after a post, whose page cannot be fetched again."""
    if request.method not in ("GET", "HEAD"):
        return []
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    return [(lang, f"?{urlencode([*kept, ('lang', lang)])}") for lang in LANGUAGES if lang != current]
