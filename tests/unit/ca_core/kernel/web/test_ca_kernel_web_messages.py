"""Catalogues, and which language a request is answered in."""

from pathlib import Path

import pytest
from starlette.requests import Request

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.web.messages import Catalogues, negotiate
from ca_core.kernel.web.pages import OWN_MESSAGES

HEAD = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'


def folder(path: Path, chinese: str, english: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "zh-TW.po").write_text(HEAD + chinese, encoding="utf-8")
    (path / "en.po").write_text(HEAD + english, encoding="utf-8")
    return path


def entry(key: str, text: str, flag: str = "") -> str:
    return f'{flag}msgid "{key}"\nmsgstr "{text}"\n\n'


def request_with(query: str = "", cookie: str = "", accept: str | None = None) -> Request:
    headers = [(b"cookie", cookie.encode())] if cookie else []
    headers += [] if accept is None else [(b"accept-language", accept.encode("latin-1"))]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": headers}
    return Request({**scope, "server": ("localhost", 80), "scheme": "http"})


def test_both_languages_and_their_places(tmp_path: Path) -> None:
    catalogues = Catalogues.load(
        [folder(tmp_path, entry("greeting", "{name}，您好"), entry("greeting", "Hello {name}"))]
    )
    assert catalogues.translator("zh-TW")("greeting", name="王") == "王，您好"
    assert catalogues.translator("en")("greeting", name="{Wang}") == "Hello {Wang}"
    with pytest.raises(KeyError):
        catalogues.translator("en")("parting")


def test_an_error_without_words_is_shown_as_the_servers(tmp_path: Path) -> None:
    t = Catalogues.load([OWN_MESSAGES]).translator("en")
    assert t.error("no_such_code") == t.error("server_error")
    assert t.error("csrf_refused") != t.error("server_error")


@pytest.mark.parametrize(
    "chinese, english, fault",
    [
        (entry("a", "甲"), "", "a: not in English"),
        ("", entry("a", "A"), "a: not in Chinese"),
        (entry("a", "甲"), entry("a", ""), "a: no text"),
        (entry("a", "甲"), entry("a", "A", "#, fuzzy\n"), "a: no text, or a doubtful one"),
        (entry("a", "甲 {x}"), entry("a", "A {y}"), "a: the languages fill different places"),
        (entry("a", "甲"), entry("a", "A") + entry("a", "B"), "a: given twice"),
    ],
)
def test_a_fault_stops_the_start(tmp_path: Path, chinese: str, english: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        Catalogues.load([folder(tmp_path, chinese, english)])


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Catalogues.load([folder(tmp_path, entry("a", "甲"), entry("b", "B")), tmp_path / "missing"])
    for part in ("a: not in English", "b: not in Chinese", "missing"):
        assert part in str(caught.value)


def test_two_packages_may_not_share_a_key(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", entry("a", "甲"), entry("a", "A"))
    two = folder(tmp_path / "two", entry("a", "乙"), entry("a", "B"))
    with pytest.raises(ConfigurationError, match="a second catalogue"):
        Catalogues.load([one, two])


@pytest.mark.parametrize(
    "query, cookie, ui_locales, accept, expected",
    [
        ("", "", "", None, "zh-TW"),
        ("lang=en", "lang=zh-TW", "zh-TW", "zh-TW", "en"),
        ("ui_locales=fr+en-GB", "", "", "zh-TW", "en"),
        ("lang=xx", "lang=en", "", "zh-TW", "en"),
        ("", "lang=en", "zh-TW", "zh-TW", "en"),
        ("", "lang=xx", "en", "zh-TW", "en"),
        ("", "", "fr-CA en", "zh-TW", "en"),
        ("", "", "", "en-US,en;q=0.9", "en"),
        ("", "", "", "fr, en;q=0.5, zh-TW;q=0.7", "zh-TW"),
        ("", "", "", "zh-Hant-TW;q=0.1,en;q=0.2", "en"),
        ("", "", "", "zh-CN", "zh-TW"),
        ("", "", "", "en;q=0, de", "zh-TW"),
        ("", "", "", "en;q=x", "zh-TW"),
        ("", "", "", "en;q=nan, zh", "zh-TW"),
        ("", "", "", "\xff,;;=," * 50, "zh-TW"),
    ],
)
def test_the_language_of_a_request(query: str, cookie: str, ui_locales: str, accept: str | None, expected: str) -> None:
    request = request_with(query, cookie, accept)
    assert negotiate(request, cookie_name="lang", ui_locales=ui_locales) == expected
