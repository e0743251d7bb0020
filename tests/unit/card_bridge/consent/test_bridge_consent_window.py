"""The bridge's own window: what it shows, to whom it opens, which forms it takes."""

import asyncio
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from card_bridge.consent.model import KNOWN_CLAIMS, claim_key
from card_bridge.messages.catalogue import Catalogues
from card_bridge.operations.model import End
from card_bridge.piv.errors import CardRemoved
from support.bridge_fakes import PORT, Answer, Bridge, FakeCard, FakeReaders, Window, payload

OWN = ("origin", f"http://127.0.0.1:{PORT}")
MakeBridge = Callable[..., Bridge]


def play(scenario: Callable[[], Any]) -> None:
    asyncio.run(scenario())


async def opened(bridge: Bridge, part: str = 'id="pin"', **changes: object) -> Window:
    answer = await bridge.apost("/v1/authenticate", {**bridge.statement(**changes), "lang": "zh-TW"})
    assert answer.status == 202, answer.text
    window = Window(bridge, answer.json)
    await window.until(part)
    return window


def test_it_shows_who_asks_what_for_and_the_code(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)
        text = window.shown.text
        code = re.search(r'id="code"[^>]*>(\d{4})<', text)
        assert code is not None
        for part in (
            "綜合所得稅電子申報",
            "申報綜合所得稅",
            "內政部身分識別服務",
            "https://id.example.tw",
            "姓名、出生日期",
        ):
            assert part in text
        assert 'data-tries="3"' in text
        english = (await window.get(query="?lang=en")).text
        for part in ("Income tax filing", "To file your income tax", "Name, Date of birth", 'lang="en"', code[1]):
            assert part in english

    play(scenario)


def test_the_pin_field_is_nothing_a_browser_keeps(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)
        field = re.search(r'<input type="password"[^>]*>', window.shown.text, re.DOTALL)
        assert field is not None
        for part in ('autocomplete="off"', 'inputmode="numeric"', 'name="pin"', 'id="pin"', "required"):
            assert part in field[0]
        assert 'for="pin"' in window.shown.text
        assert window.shown.headers["cache-control"] == "no-store"
        assert "refresh" not in window.shown.headers
        assert "http-equiv" not in window.shown.text  # a reload would empty the field

    play(scenario)


def test_names_are_text_and_never_markup(bridge: Bridge) -> None:
    async def scenario() -> None:
        evil = {"zh-TW": "<script>alert(1)</script>", "en": '"><img src=x onerror=alert(1)>'}
        window = await opened(bridge, client_name=evil, purpose=evil)
        for query in ("?lang=zh-TW", "?lang=en"):
            text = (await window.get(query=query)).text
            assert "<script>alert" not in text
            assert "<img src=x" not in text

    play(scenario)


def test_no_inline_script_or_style(bridge: Bridge) -> None:
    class Inline(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names = {name for name, _ in attrs}
            assert tag != "style"
            assert "style" not in names
            assert not [name for name in names if name.startswith("on")]
            assert tag != "script" or "src" in names

    async def scenario() -> None:
        Inline().feed((await opened(bridge)).shown.text)

    play(scenario)


def test_every_control_has_a_label_and_every_reference_a_target(bridge: Bridge) -> None:
    async def scenario() -> None:
        bridge.card.tries = 1
        text = (await opened(bridge)).shown.text
        identifiers = re.findall(r'\bid="([^"]+)"', text)
        assert len(identifiers) == len(set(identifiers))
        for reference in re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', text):
            assert set(reference.split()) <= set(identifiers)
        for control in re.findall(r'<input type="(?:password|checkbox|radio)"[^>]*id="([^"]+)"', text):
            assert f'for="{control}"' in text

    play(scenario)


def test_the_address_works_in_one_browser_only(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)
        for cookie in ([], [("cookie", f"card-bridge-{PORT}=" + "A" * 43)]):
            answer = await bridge.client.call("GET", window.path, cookie)
            assert answer.status == 403
            assert "consent_elsewhere" in answer.text
            assert "set-cookie" not in answer.headers
            assert "綜合所得稅" not in answer.text
            state = await bridge.client.call("GET", window.path + "/state", cookie)
            assert (state.status, state.json["code"]) == (403, "consent_elsewhere")
        assert (await window.get()).status == 200

    play(scenario)


def test_the_cookie_is_for_this_window_alone(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)
        header = window.shown.headers["set-cookie"].lower()
        for part in ("httponly", "samesite=lax", "path=/consent", f"card-bridge-{PORT}="):
            assert part in header

    play(scenario)


@pytest.mark.parametrize(
    "headers",
    [
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "empty")],
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
        [("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")],
    ],
)
def test_a_page_cannot_open_it_in_the_background(headers: list[tuple[str, str]], bridge: Bridge) -> None:
    async def scenario() -> None:
        begun = await bridge.abegin()
        window = Window(bridge, begun)
        answer = await window.get(*headers)
        assert answer.status == 403
        assert "set-cookie" not in answer.headers
        proper = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
        assert (await window.get(*proper)).status == 200

    play(scenario)


@pytest.mark.parametrize("path", ["/consent/x", "/consent/" + "A" * 43, "/consent/%ff"])
def test_an_address_that_belongs_to_nothing(path: str, bridge: Bridge) -> None:
    for language, text in (("zh-TW", "這個視窗已失效"), ("en", "no longer valid")):
        answer = bridge.client("GET", path, [("accept-language", language)])
        assert answer.status == 404
        assert text in answer.text


def test_forms_of_other_pages_do_nothing(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)
        cookie = ("cookie", window.cookie)
        good = {"csrf_token": window.csrf_token, "action": "pin", "pin": "123456"}
        attempts: list[tuple[list[tuple[str, str]], dict[str, str]]] = [
            ([cookie], good),
            ([cookie, ("origin", "null")], good),
            ([cookie, ("origin", "https://id.example.tw")], good),
            ([cookie, ("origin", f"http://localhost:{PORT}")], good),
            ([cookie, OWN, ("origin", "https://evil.example")], good),
            ([cookie, OWN, ("sec-fetch-site", "cross-site")], good),
            ([cookie, OWN, ("sec-fetch-site", "same-site")], good),
            ([cookie, OWN], good | {"csrf_token": ""}),
            ([cookie, OWN], good | {"csrf_token": "A" * 43}),
            ([OWN], good),
            ([("cookie", f"card-bridge-{PORT}=x"), OWN], good),
        ]
        for headers, form in attempts:
            answer = await window.post(headers, **form)
            assert answer.status == 403, headers
        assert bridge.card.seen_pins == []
        assert 'id="pin"' in (await window.get()).text

    play(scenario)


@pytest.mark.parametrize(
    "fields",
    [{"action": ""}, {"action": "approve"}, {"action": "pin", "extra": "1"}, {"action": "pin", "pin": "1" * 200}],
)
def test_forms_that_the_window_does_not_have(fields: dict[str, str], bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)
        form = {"csrf_token": window.csrf_token} | fields
        answer = await window.post([("cookie", window.cookie), OWN], **form)
        assert answer.status == 400
        assert bridge.card.seen_pins == []

    play(scenario)


def test_a_large_form_is_refused(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)
        answer = await window.send("pin", pin="1", card="0" * 3000)
        assert answer.status == 413

    play(scenario)


def test_without_script_from_card_to_done(make_bridge: MakeBridge) -> None:
    card = FakeCard()
    bridge = make_bridge(FakeReaders(R=None))

    async def scenario() -> None:
        window = await opened(bridge, 'data-trouble="no_card"')
        assert '<noscript><meta http-equiv="refresh"' in window.shown.text
        bridge.readers.cards["R"] = card
        await window.until('id="pin"')
        answer = await window.send("pin", pin="000000")
        assert answer.status == 303
        assert answer.headers["location"].startswith(window.path)
        assert "000000" not in answer.headers["location"]
        shown = await window.get()
        assert 'data-code="pin_incorrect"' in shown.text
        assert 'data-tries="2"' in shown.text
        assert (await window.send("pin", pin="123456")).status == 303
        shown = await window.until('data-view="ended"')
        assert 'data-outcome="done"' in shown.text
        assert 'name="pin"' not in shown.text

    play(scenario)


def test_an_empty_pin_is_asked_again_without_touching_the_card(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)
        answer = await window.send("pin", pin="")
        assert answer.status == 422
        assert 'data-code="pin_empty"' in answer.text
        assert "verify_pin" not in bridge.card.steps

    play(scenario)


def test_the_last_try_asks_first(bridge: Bridge) -> None:
    bridge.card.tries = 1

    async def scenario() -> None:
        window = await opened(bridge)
        assert 'name="last_try"' in window.shown.text
        answer = await window.send("pin", pin="123456")
        assert answer.status == 422
        assert 'data-code="last_try_unconfirmed"' in answer.text
        assert bridge.card.seen_pins == []
        await window.send("pin", pin="123456", last_try="yes")
        assert 'data-outcome="done"' in (await window.until('data-view="ended"')).text

    play(scenario)


def test_two_cards_are_chosen_between(make_bridge: MakeBridge) -> None:
    first, second = FakeCard(number="1111222233334444"), FakeCard(number=None)
    bridge = make_bridge(FakeReaders(A=first, B=second))

    async def scenario() -> None:
        window = await opened(bridge)
        assert "4444" in window.shown.text
        assert "1111222233334444" not in window.shown.text
        for card in ("", "9", "-1", "x", "１"):
            answer = await window.send("pin", pin="123456", card=card)
            assert answer.status == 422, card
            assert 'data-code="card_not_chosen"' in answer.text
        await window.send("pin", pin="123456", card="1")
        await window.until('data-outcome="done"')
        assert first.seen_pins == []

    play(scenario)


@pytest.mark.parametrize(
    ("readers", "trouble"),
    [
        (FakeReaders(), "no_reader"),
        (FakeReaders(R=None), "no_card"),
        (FakeReaders(R=FakeCard(empty=True)), "card_not_personalised"),
        (FakeReaders(R=FakeCard(tries=0)), "pin_blocked"),
    ],
)
def test_each_trouble_has_its_text_and_is_reported_when_the_person_says_so(
    readers: FakeReaders, trouble: str, make_bridge: MakeBridge
) -> None:
    bridge = make_bridge(readers)

    async def scenario() -> None:
        window = await opened(bridge, f'data-trouble="{trouble}"')
        assert (await window.get(query="?lang=en")).status == 200
        operation = window.path
        assert operation
        await window.send("report")
        shown = await window.until('data-view="ended"')
        assert f'data-outcome="{trouble}"' in shown.text

    play(scenario)


def test_a_card_removed_half_way_has_its_own_text(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)
        bridge.card.faults["sign"] = CardRemoved()
        await window.send("pin", pin="123456")
        shown = await window.until('data-view="ended"')
        assert 'data-outcome="card_removed"' in shown.text
        assert "卡片在中途被取出" in shown.text

    play(scenario)


def test_cancel_from_the_window_and_from_the_page(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)
        assert (await window.send("cancel")).status == 303
        assert 'data-outcome="user_cancelled"' in (await window.get()).text
        answer = await bridge.apost("/v1/authenticate", bridge.statement(client_id="again"))
        window = Window(bridge, answer.json)
        await window.get()
        await bridge.apost("/v1/cancel", {"operation_id": answer.json["operation_id"]})
        assert 'data-outcome="user_cancelled"' in (await window.get()).text
        await window.send("pin", pin="123456")
        assert bridge.card.seen_pins == []

    play(scenario)


def test_time_that_runs_out_is_shown(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)
        bridge.monotonic.now += 61
        assert 'data-outcome="timed_out"' in (await window.until('data-view="ended"')).text

    play(scenario)


def test_an_older_window_is_gone_when_the_next_request_begins(bridge: Bridge) -> None:
    async def scenario() -> None:
        old = await opened(bridge)
        await old.send("cancel")
        await bridge.apost("/v1/authenticate", bridge.statement(client_id="next"))
        answer = await old.get()
        assert answer.status == 404
        assert "consent_gone" in answer.text

    play(scenario)


def test_the_state_tells_the_window_to_look_again_and_nothing_else(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge)

        async def state(*headers: tuple[str, str]) -> Answer:
            return await bridge.client.call("GET", window.path + "/state", [("cookie", window.cookie), *headers])

        first = await state()
        assert set(first.json) == {"revision", "seconds_left"}
        await window.send("cancel")
        assert (await state()).json["revision"] != first.json["revision"]
        assert (await state(("sec-fetch-site", "cross-site"))).status == 403

    play(scenario)


def test_assets_are_served_and_nothing_beside_them(bridge: Bridge) -> None:
    for name in ("consent.css", "consent.js", "mark.svg"):
        assert bridge.client("GET", f"/assets/{name}").status == 200
    for name in ("", "../web.py", "..%2fweb.py", "%2e%2e/web.py", "nothing"):
        assert bridge.client("GET", f"/assets/{name}").status == 404


def test_every_text_that_a_view_may_need_is_there() -> None:
    keys = Catalogues.load().keys()
    for end in End:
        if end is not End.PIN_INCORRECT:
            assert {f"ended.{end}.title", f"ended.{end}.text"} <= keys
    for trouble in ("no_reader", "no_card", "card_removed", "card_not_personalised", "pin_blocked", "card_error"):
        assert {f"trouble.{trouble}.title", f"trouble.{trouble}.text"} <= keys
    for notice in ("pin_incorrect", "pin_malformed", "pin_empty", "card_not_chosen", "last_try_unconfirmed"):
        assert f"notice.{notice}" in keys
    assert {claim_key(claim) for claim in KNOWN_CLAIMS} <= keys
    assert claim_key("x") == ""


def test_an_unknown_claim_is_shown_by_its_name(bridge: Bridge) -> None:
    async def scenario() -> None:
        window = await opened(bridge, claims=["name", "urn:x:y"])
        assert "urn:x:y" in window.shown.text
        await window.send("cancel")
        window = await opened(bridge, "不要求個人資料", claims=[])

    assert payload()["claims"]
    play(scenario)
