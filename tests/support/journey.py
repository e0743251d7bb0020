"""What a person does in the browser to log in: the sample relying party, the login page, the bridge's own window."""

from playwright.sync_api import Page, TimeoutError, expect

from support.demo import Demo


def to_login_page(page: Page) -> None:
    """From the sample relying party's front page to the provider's login page."""
    page.locator("#login-button").click()
    page.locator("#way-card").wait_for()


def start_card(page: Page) -> Page:
    """Presses the login page's button; returns the bridge's window.

    It opens by itself; where the browser holds it back (a click is too long ago for it on a busy machine), the person
    uses the link that the page shows.
    """
    try:
        with page.context.expect_page(timeout=8_000) as opened:
            page.locator("#card-start, #card-retry").locator("visible=true").click()
    except TimeoutError:
        link = page.locator("#card-consent-link")
        assert link.is_visible(), f"no window and no link: {_where(page)}"
        with page.context.expect_page() as opened:
            link.click()
    window = opened.value
    window.wait_for_load_state()
    return window


def _where(page: Page) -> str:
    """What the login page says of itself, for a failure's message."""
    step = page.locator("#card-progress [aria-current=step]")
    said = step.get_attribute("data-state") if step.count() else None
    return f"step {said}, error {page.locator('#card-error').get_attribute('data-code')}"


def enter_pin(window: Page, pin: str) -> None:
    """Types the PIN in the bridge's window and sends it."""
    window.locator("#pin").fill(pin)
    window.locator("#submit").click()


def card_error(page: Page) -> tuple[str, str, str]:
    """Waits until the login page has given up with an error, and returns its code, title and message.

    A wrong PIN is shown too, while the login goes on: then the progress stays on the page.
    """
    page.locator("#card-progress").wait_for(state="hidden")
    error = page.locator("#card-error")
    error.wait_for()
    code = error.get_attribute("data-code") or ""
    return code, page.locator("#card-error-title").inner_text(), page.locator("#card-error-message").inner_text()


def log_in(page: Page, demo: Demo) -> None:
    """The whole journey of the first citizen, from the sample relying party and back to it."""
    to_login_page(page)
    enter_pin(start_card(page), demo.citizens[0].pin)
    page.locator("#consent-allow").click()
    expect(page.locator("#userinfo-name")).to_have_text(demo.citizens[0].name)
