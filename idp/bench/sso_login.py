"""`sso-login`: authorize with a live session -> code -> token (PKCE, ES256 ID token) -> userinfo."""

from ca_core.kernel.clock import Clock
from idp.bench.browser import REDIRECTS, Browser
from idp.bench.errors import BenchFailed
from idp.bench.relying_party import RelyingParty
from idp.bench.rounds import Operation

VERIFY_EVERY = 50
"""Of so many ID tokens the client verifies the signature of one."""


def sso_login(party: RelyingParty, browser: Browser, clock: Clock) -> Operation:
    """The operation of one person who is logged in already."""
    count = 0

    async def operation() -> None:
        nonlocal count
        attempt = party.begin()
        answer = await browser.request("GET", attempt.url)
        callback = answer.headers.get("location", "")
        if answer.status not in REDIRECTS or not callback.startswith(party.registration.redirect_uri):
            raise BenchFailed(f"authorize: {answer.status}, no code by the live session")
        await party.finish(browser, attempt, callback, signature_at=clock if count % VERIFY_EVERY == 0 else None)
        count += 1

    return operation
