"""A browser without script: cookies, redirects, forms. What the login must be usable with, but for the card itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2


@dataclass(slots=True)
class Form:
    """A form as it stands on the page. buttons: (name, value) of what may submit it."""

    id: str
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.ids: dict[str, list[str]] = {}
        self._open: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(named.get("id", ""), named.get("method", "get").lower(), named.get("action", "")))
        elif tag in ("input", "button") and named.get("name"):
            self._control(tag, named)
        if tag not in ("input", "meta", "link", "br", "img", "hr"):
            self._open.append((tag, named.get("id")))
        if "id" in named:
            self.ids.setdefault(named["id"], [])

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            if name is not None:
                self.ids[name].append(data)

    def _control(self, tag: str, named: Mapping[str, str]) -> None:
        owner = next((form for form in self.forms if form.id == named.get("form", "\0")), None)
        form = owner or (self.forms[-1] if self.forms else None)
        if form is None:
            return
        if tag == "button" or named.get("type") == "submit":
            form.buttons.append((named["name"], named.get("value", "")))
        elif named.get("type") not in ("checkbox", "radio") or "checked" in named:
            form.fields[named["name"]] = named.get("value", "")


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, and what of it a person without script can use."""

    url: str
    status: int
    headers: httpx2.Headers
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def json(self) -> dict[str, Any]:
        members: dict[str, Any] = json.loads(self.body)
        return members

    def form(self, name: str) -> Form:
        """The form of that id. Raises AssertionError when the page has none."""
        forms = self._read().forms
        for form in forms:
            if form.id == name:
                return form
        raise AssertionError(f"{self.status} {self.url}: no form {name!r} among {[form.id for form in forms]}")

    def text_of(self, name: str) -> str:
        """The text inside the element of that id, with single spaces."""
        ids = self._read().ids
        if name not in ids:
            raise AssertionError(f"{self.status} {self.url}: no element {name!r} among {sorted(ids)}")
        return " ".join("".join(ids[name]).split())

    def _read(self) -> _Reader:
        reader = _Reader()
        reader.feed(self.text)
        return reader


class ScriptlessBrowser:
    """Takes `http://localhost` for a secure context, as browsers do: Secure cookies go there too."""

    def __init__(self, *, language: str = "zh-TW", verify: str | bool = True) -> None:
        self._client = httpx2.Client(timeout=30, follow_redirects=False, verify=verify)
        self._cookies: dict[str, dict[str, str]] = {}
        self._language = language

    def __enter__(self) -> "ScriptlessBrowser":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """One request, no redirect followed."""
        jar = self._cookies.setdefault(urlsplit(url).netloc, {})
        sent = {"Accept": "text/html", "Accept-Language": self._language, **(headers or {})}
        if jar:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        answer = self._client.request(
            method, url, data=dict(form) if form is not None else None, json=body, headers=sent
        )
        for line in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0" or "1970" in morsel["expires"]:
                    jar.pop(name, None)
                else:
                    jar[name] = morsel.value
        return Page(url, answer.status_code, answer.headers, answer.content)

    def open(self, url: str, *, until: str = "\0") -> Page:
        """Follows redirects to a page, or to the first address that begins with `until` (which is not asked for)."""
        for _ in range(12):
            if url.startswith(until):
                return Page(url, 0, httpx2.Headers(), b"")
            page = self.request("GET", url)
            if page.status not in (302, 303, 307):
                return page
            url = urljoin(url, page.headers["location"])
        raise AssertionError(f"redirects without end, the last to {url}")

    def submit(self, page: Page, form: Form, *, until: str = "\0", **fields: str) -> Page:
        """Sends a form with these fields in addition, and follows where it leads."""
        target = urljoin(page.url, form.action)
        answer = self.request("POST", target, form={**form.fields, **fields}, headers={"Origin": page.origin})
        if answer.status in (302, 303):
            return self.open(urljoin(target, answer.headers["location"]), until=until)
        return answer

    def call(self, page: Page, path: str, body: Mapping[str, object], *, csrf_token: str) -> Page:
        """What the page's script would call: JSON to JSON."""
        headers = {"Accept": "application/json", "Origin": page.origin, "X-CSRF-Token": csrf_token}
        return self.request("POST", urljoin(page.url, path), body=body, headers=headers)
