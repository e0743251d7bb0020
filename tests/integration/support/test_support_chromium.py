"""The browser and what looks at its pages see faults where there are some."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page

from support.chromium import accessibility_faults, chromium, width_overflow
from support.demo import ROOT
from support.processes import run

GOOD = "<!doctype html><html lang=en><title>Good</title><main><h1>Good</h1><button>Go on</button></main>"
BAD = "<!doctype html><html><title></title><img src=x><input><div style='width:800px;height:9px'></div>"
STRICT = (
    "<!doctype html><html lang=en><meta http-equiv=Content-Security-Policy "
    "content=\"default-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'\">"
    "<title>Strict</title><main><h1>Strict</h1></main>"
)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    for name, text in (("good", GOOD), ("bad", BAD), ("strict", STRICT)):
        (folder / f"{name}.html").write_text(text)
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def launched() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def phone(launched: Browser) -> Iterator[Page]:
    context = launched.new_context(viewport={"width": 360, "height": 740})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", ["good", "strict"])
def test_a_good_page_has_no_faults_whatever_its_policy(site: str, phone: Page, name: str) -> None:
    phone.goto(f"{site}/{name}.html")
    assert accessibility_faults(phone) == []
    assert width_overflow(phone) == 0


def test_a_bad_page_has_them(site: str, phone: Page) -> None:
    phone.goto(f"{site}/bad.html")
    rules = {fault.partition(":")[0] for fault in accessibility_faults(phone)}
    assert {"document-title", "html-has-lang", "image-alt", "label"} <= rules
    assert width_overflow(phone) > 400


def test_the_node_of_the_environment_runs() -> None:
    version = run([ROOT / "scripts" / "node", "--version"]).stdout
    assert int(version[1:].partition(".")[0]) >= 20
