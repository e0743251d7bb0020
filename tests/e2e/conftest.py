"""A running demo and a real browser."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from support.chromium import chromium
from support.demo import Demo, running_demo
from support.e2e_types import OpenPage
from support.scriptless import ScriptlessBrowser


@pytest.fixture(scope="session")
def shared_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for the run."""
    with running_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def demo(shared_demo: Demo) -> Demo:
    """The shared demo, for tests that leave its citizens' cards and certificates as they found them.

    No consent is remembered from an earlier test.
    """
    shared_demo.forget_consents()
    return shared_demo


@pytest.fixture
def own_demo(tmp_path: Path) -> Iterator[Demo]:
    """A demo of this test alone, beside the other: it may lock the card, and revoke its certificates."""
    with running_demo(tmp_path / "own-demo") as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """`open_page(url, language="zh-TW", width=1280)` in a new profile. A page's uncaught error fails the test."""
    with ExitStack() as opened:
        faults: list[str] = []

        def open_page(url: str, *, language: str = "zh-TW", width: int = 1280) -> Page:
            context: BrowserContext = browser.new_context(locale=language, viewport={"width": width, "height": 900})
            opened.callback(context.close)
            context.set_default_timeout(20_000)
            context.on("weberror", lambda error: faults.append(str(error.error)))
            page = context.new_page()
            page.goto(url)
            return page

        yield open_page
        assert faults == []


@pytest.fixture(params=["zh-TW", "en"])
def language(request: pytest.FixtureRequest) -> str:
    """The test in both languages."""
    chosen: str = request.param
    return chosen


@pytest.fixture
def scriptless(demo: Demo) -> Iterator[ScriptlessBrowser]:
    """A browser without script."""
    with ScriptlessBrowser() as browser:
        yield browser
