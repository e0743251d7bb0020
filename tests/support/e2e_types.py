"""Types of the e2e fixtures."""

from typing import Protocol

from playwright.sync_api import Page


class OpenPage(Protocol):
    """Opens an address in a new profile of the browser."""

    def __call__(self, url: str, *, language: str = "zh-TW", width: int = 1280) -> Page: ...
