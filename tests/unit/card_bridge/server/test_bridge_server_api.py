"""The modern API: what is verified before a window opens, one operation, cancel, events, results at most once."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from card_bridge.piv.model import ReaderState
from card_bridge.statement.providers import Provider
from card_bridge.web_eid.origin import parse_origin
from support.bridge_fakes import ORIGIN, Bridge, FakeCard, FakeReaders, StatementKey, Window, nonce_of, payload

MakeBridge = Callable[..., Bridge]


async def submit(bridge: Bridge, begun: dict[str, Any], pin: str = "123456", **more: str) -> None:
    """What the person does in the window, without script."""
    window = Window(bridge, begun)
    await window.until('id="pin"')
    await window.send("pin", pin=pin, **more)


def test_a_login(bridge: Bridge) -> None:
    async def scenario() -> list[tuple[str, dict[str, Any]] | None]:
        begun = await bridge.abegin()
        assert set(begun) == {"operation_id", "consent_url", "expires_in"}
        assert begun["expires_in"] == 60
        assert begun["consent_url"].startswith("http://127.0.0.1:61161/consent/")
        async with bridge.client.stream(
            "GET", f"/v1/events?operation_id={begun['operation_id']}", bridge.page()
        ) as stream:
            events = [await stream.event()]
            await submit(bridge, begun)
            while events[-1] is not None:
                events.append(await stream.event())
            return events

    events = asyncio.run(scenario())
    assert events[0] == ("state", {"state": "waiting_for_pin"})
    assert events[-1] is None
    result = events[-2]
    assert result is not None
    assert result[0] == "result"
    assert set(result[1]["auth_token"]) == {"unverifiedCertificate", "algorithm", "signature", "format", "appVersion"}
    assert all(event is not None and event[0] == "state" for event in events[1:-2])


def test_the_result_is_handed_out_once(bridge: Bridge) -> None:
    async def scenario() -> None:
        begun = await bridge.abegin()
        events = f"/v1/events?operation_id={begun['operation_id']}"
        async with bridge.client.stream("GET", events, bridge.page()) as stream:
            await submit(bridge, begun)
            while (event := await stream.event()) is not None and event[0] != "result":
                pass
            assert event is not None
        answer = await bridge.client.call("GET", events, bridge.page())
        assert (answer.status, answer.json["code"]) == (404, "operation_not_found")

    asyncio.run(scenario())


def test_a_wrong_pin_is_told_and_the_person_may_try_again(bridge: Bridge) -> None:
    async def scenario() -> list[tuple[str, dict[str, Any]]]:
        begun = await bridge.abegin()
        async with bridge.client.stream(
            "GET", f"/v1/events?operation_id={begun['operation_id']}", bridge.page()
        ) as stream:
            events = [await stream.event()]
            await submit(bridge, begun, "000000")
            while events[-1] is None or events[-1][0] != "error":
                events.append(await stream.event())
            answer = await bridge.apost("/v1/cancel", {"operation_id": begun["operation_id"]})
            assert answer.status == 204
            while events[-1] is not None:
                events.append(await stream.event())
            return [event for event in events if event]

    events = asyncio.run(scenario())
    errors = [event for event in events if event[0] == "error"]
    assert errors == [
        ("error", {"code": "pin_incorrect", "tries_left": 2}),
        ("error", {"code": "user_cancelled", "tries_left": 2}),
    ]


@pytest.mark.parametrize("readers", [FakeReaders(), FakeReaders(R=None), FakeReaders(R=FakeCard(tries=0))])
def test_before_consent_the_events_are_the_same_whatever_is_in_the_reader(
    readers: FakeReaders,
    make_bridge: MakeBridge,
) -> None:
    bridge = make_bridge(readers)

    async def scenario() -> list[tuple[str, dict[str, Any]]]:
        begun = await bridge.abegin()
        async with bridge.client.stream(
            "GET", f"/v1/events?operation_id={begun['operation_id']}", bridge.page()
        ) as stream:
            first = await stream.event()
            await asyncio.sleep(0.1)
            bridge.monotonic.now += 61
            events = [first]
            while events[-1] is not None:
                events.append(await stream.event())
            return [event for event in events if event]

    assert asyncio.run(scenario()) == [("state", {"state": "waiting_for_pin"}), ("error", {"code": "timed_out"})]


def test_the_statement_is_fetched_from_the_pinned_provider(bridge: Bridge) -> None:
    compact = bridge.key.sign(payload())
    bridge.source.statements[nonce_of(compact)] = compact
    answer = bridge.post("/v1/authenticate", {"challenge_nonce": nonce_of(compact), "lang": "en"})
    assert answer.status == 202
    assert bridge.source.asked == [ORIGIN]


def test_a_statement_that_the_provider_does_not_hand_out(bridge: Bridge) -> None:
    answer = bridge.post("/v1/authenticate", {"challenge_nonce": nonce_of("x")})
    assert (answer.status, answer.json["code"]) == (502, "statement_unavailable")
    assert bridge.readers.calls == 0


def refused(bridge: Bridge, document: dict[str, Any], status: int, code: str, reason: str) -> None:
    answer = bridge.post("/v1/authenticate", document)
    assert (answer.status, answer.json["code"], answer.json.get("reason", "")) == (status, code, reason)
    assert bridge.readers.calls == 0
    assert bridge.client("GET", "/v1/status", bridge.page()).json["pending"] is False


def test_statements_that_are_refused(bridge: Bridge) -> None:
    good = bridge.statement()
    other = bridge.statement(client_id="other")
    forged = StatementKey().sign(payload())
    expired = bridge.statement(iat=int(bridge.now.timestamp()) - 120, exp=int(bridge.now.timestamp()) - 60)
    swapped = {**good, "statement": other["statement"]}
    refused(bridge, swapped, 400, "statement_mismatch", "statement_digest_differs")
    document = {"challenge_nonce": nonce_of(forged), "statement": forged}
    refused(bridge, document, 400, "statement_invalid", "statement_signature")
    refused(bridge, expired, 400, "statement_expired", "statement_expired")
    elsewhere = bridge.statement(origin="https://other.example.tw")
    refused(bridge, elsewhere, 400, "origin_mismatch", "statement_origin")
    refused(bridge, bridge.statement(flow="phone-qr"), 400, "statement_invalid", "statement_flow")
    refused(bridge, {"challenge_nonce": "A" * 43, "statement": good["statement"]}, 400, "nonce_malformed", "")
    empty = {"challenge_nonce": good["challenge_nonce"], "statement": ""}
    refused(bridge, empty, 400, "statement_mismatch", "statement_digest_differs")
    large = good["statement"] + "A" * 5000
    document = {"challenge_nonce": nonce_of(large), "statement": large}
    refused(bridge, document, 400, "statement_invalid", "statement_too_large")


@pytest.mark.parametrize("member", ["pin", "origin", "card", "hash"])
def test_members_that_the_call_does_not_have(member: str, bridge: Bridge) -> None:
    refused(bridge, {**bridge.statement(), member: "123456"}, 400, "malformed_json", "")


def test_one_operation_at_a_time(bridge: Bridge) -> None:
    async def scenario() -> None:
        begun = await bridge.abegin()
        events = f"/v1/events?operation_id={begun['operation_id']}"
        async with bridge.client.stream("GET", events, bridge.page()) as stream:
            await stream.event()
            answer = await bridge.apost("/v1/authenticate", bridge.statement())
            assert (answer.status, answer.json["code"]) == (409, "operation_pending")
            status = await bridge.client.call("GET", "/v1/status", bridge.page())
            assert status.json["pending"] is True

    asyncio.run(scenario())


def test_a_page_that_never_listens_ends_its_operation(bridge: Bridge) -> None:
    """It was closed before the answer reached it, or the answer was lost: nobody knows the operation's id."""

    async def scenario() -> None:
        await bridge.abegin()
        assert (await bridge.client.call("GET", "/v1/status", bridge.page())).json["pending"] is True
        await asyncio.sleep(0.6)
        assert (await bridge.client.call("GET", "/v1/status", bridge.page())).json["pending"] is False

    asyncio.run(scenario())


def test_a_page_that_is_closed_while_its_request_waits_begins_nothing(bridge: Bridge) -> None:
    async def scenario() -> None:
        await bridge.abegin()
        headers = bridge.page(("content-type", "application/json"))
        body = json.dumps(bridge.statement()).encode()
        async with bridge.client.stream("POST", "/v1/authenticate", headers, body):
            await asyncio.sleep(0.05)
        assert (await bridge.client.call("GET", "/v1/status", bridge.page())).json["pending"] is False

    asyncio.run(scenario())


@pytest.mark.parametrize("listened", [False, True])
def test_a_request_waits_for_the_end_of_an_operation_whose_page_is_gone(listened: bool, bridge: Bridge) -> None:
    """A person who closed the login page and opened it again is not told of a request that nobody waits for."""

    async def scenario() -> None:
        begun = await bridge.abegin()
        if listened:
            events = f"/v1/events?operation_id={begun['operation_id']}"
            async with bridge.client.stream("GET", events, bridge.page()) as stream:
                await stream.event()
        again = await bridge.abegin()
        assert again["operation_id"] != begun["operation_id"]

    asyncio.run(scenario())


def test_the_minimum_interval(make_bridge: MakeBridge) -> None:
    bridge = make_bridge(minimum_interval_s=2.0)
    begun = bridge.begin()
    assert bridge.post("/v1/cancel", {"operation_id": begun["operation_id"]}).status == 204
    answer = bridge.post("/v1/authenticate", bridge.statement())
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (429, "too_soon", "2")
    bridge.monotonic.now += 2.1
    bridge.begin()


def test_a_quick_second_click_is_held_for_a_moment(make_bridge: MakeBridge) -> None:
    bridge = make_bridge(minimum_interval_s=0.3)

    async def scenario() -> None:
        begun = await bridge.abegin()
        await bridge.apost("/v1/cancel", {"operation_id": begun["operation_id"]})
        asyncio.get_running_loop().call_later(0.1, lambda: setattr(bridge.monotonic, "now", bridge.monotonic.now + 1))
        await bridge.abegin()

    asyncio.run(scenario())


def test_a_sleep_that_ends_early_is_followed_by_another(make_bridge: MakeBridge) -> None:
    """uvloop's timers count whole milliseconds, so its sleep may end one too early by the monotonic clock."""
    bridge = make_bridge(minimum_interval_s=0.2)

    async def scenario() -> None:
        begun = await bridge.abegin()
        await bridge.apost("/v1/cancel", {"operation_id": begun["operation_id"]})
        loop = asyncio.get_running_loop()
        ended_at = bridge.monotonic.now
        loop.call_later(0.1, lambda: setattr(bridge.monotonic, "now", ended_at + 0.1995))
        loop.call_later(0.3, lambda: setattr(bridge.monotonic, "now", ended_at + 0.2))
        await bridge.abegin()
        assert bridge.monotonic.now == ended_at + 0.2

    asyncio.run(scenario())


def test_a_request_is_not_held_for_ever(make_bridge: MakeBridge) -> None:
    """The clock stands still here."""
    bridge = make_bridge(minimum_interval_s=0.2)
    begun = bridge.begin()
    bridge.post("/v1/cancel", {"operation_id": begun["operation_id"]})
    answer = bridge.post("/v1/authenticate", bridge.statement())
    assert (answer.status, answer.json["code"]) == (429, "too_soon")


def test_cancel_and_events_need_the_operation_of_that_page(bridge: Bridge) -> None:
    begun = bridge.begin()
    for identifier in ("", "x" * 43, begun["consent_url"].rpartition("/")[2]):
        answer = bridge.post("/v1/cancel", {"operation_id": identifier})
        assert (answer.status, answer.json["code"]) == (404, "operation_not_found")
        answer = bridge.client("GET", f"/v1/events?operation_id={identifier}", bridge.page())
        assert (answer.status, answer.json["code"]) == (404, "operation_not_found")
    twice = f"/v1/events?operation_id={begun['operation_id']}&operation_id={begun['operation_id']}"
    assert bridge.client("GET", twice, bridge.page()).status == 404
    assert bridge.client("GET", "/v1/events", bridge.page()).status == 404
    assert bridge.client("GET", "/v1/status", bridge.page()).json["pending"] is True


def test_another_provider_cannot_touch_the_operation(bridge: Bridge) -> None:
    """A second pinned provider has an allowed Origin, but not this operation."""
    begun = bridge.begin()
    other = "https://other.example.tw"
    bridge.data.providers._by_origin[parse_origin(other)] = bridge.key.provider(origin=other)
    headers = bridge.page(("content-type", "application/json"), origin=other)
    answer = bridge.post("/v1/cancel", {"operation_id": begun["operation_id"]}, headers)
    assert (answer.status, answer.json["code"]) == (404, "operation_not_found")
    events = f"/v1/events?operation_id={begun['operation_id']}"
    assert bridge.client("GET", events, bridge.page(origin=other)).status == 404


def test_a_page_that_goes_away_ends_its_operation(bridge: Bridge) -> None:
    async def scenario() -> None:
        begun = await bridge.abegin()
        events = f"/v1/events?operation_id={begun['operation_id']}"
        async with bridge.client.stream("GET", events, bridge.page()) as stream:
            assert await stream.event() == ("state", {"state": "waiting_for_pin"})
        assert (await bridge.client.call("GET", "/v1/status", bridge.page())).json["pending"] is True
        await asyncio.sleep(0.2)
        assert (await bridge.client.call("GET", "/v1/status", bridge.page())).json["pending"] is False

    asyncio.run(scenario())


def test_a_page_that_comes_back_in_time_keeps_it(bridge: Bridge) -> None:
    async def scenario() -> None:
        begun = await bridge.abegin()
        events = f"/v1/events?operation_id={begun['operation_id']}"
        async with bridge.client.stream("GET", events, bridge.page()) as stream:
            await stream.event()
        async with bridge.client.stream("GET", events, bridge.page()) as stream:
            await stream.event()
            await asyncio.sleep(0.2)
            assert (await bridge.client.call("GET", "/v1/status", bridge.page())).json["pending"] is True

    asyncio.run(scenario())


def test_an_end_before_the_page_listens_is_kept_for_it(bridge: Bridge) -> None:
    async def scenario() -> None:
        begun = await bridge.abegin()
        window = Window(bridge, begun)
        await window.until('id="pin"')
        await window.send("cancel")
        events = f"/v1/events?operation_id={begun['operation_id']}"
        async with bridge.client.stream("GET", events, bridge.page()) as stream:
            assert await stream.event() == ("error", {"code": "user_cancelled"})

    asyncio.run(scenario())


def test_a_reader_service_that_hangs_holds_up_neither_window_nor_the_next_request(make_bridge: MakeBridge) -> None:
    served = threading.Event()

    class HangingReaders(FakeReaders):
        def list(self) -> list[ReaderState]:
            served.wait(30)
            return super().list()

    bridge = make_bridge(HangingReaders(R=FakeCard()))

    async def scenario() -> None:
        begun = await bridge.abegin()
        events = f"/v1/events?operation_id={begun['operation_id']}"
        async with bridge.client.stream("GET", events, bridge.page()) as stream:
            await stream.event()
            assert 'data-view="card"' in (await Window(bridge, begun).get()).text
            assert (await bridge.apost("/v1/cancel", {"operation_id": begun["operation_id"]})).status == 204
        again = await bridge.abegin()
        served.set()
        await Window(bridge, again).until('id="pin"')

    asyncio.run(scenario())


def test_of_two_listeners_one_gets_the_outcome(bridge: Bridge) -> None:
    async def scenario() -> list[str]:
        begun = await bridge.abegin()
        events = f"/v1/events?operation_id={begun['operation_id']}"
        codes = []
        async with (
            bridge.client.stream("GET", events, bridge.page()) as first,
            bridge.client.stream("GET", events, bridge.page()) as second,
        ):
            await first.event()
            await second.event()
            await bridge.apost("/v1/cancel", {"operation_id": begun["operation_id"]})
            for stream in (first, second):
                event = await stream.event()
                assert event is not None
                codes.append(event[1]["code"])
                assert await stream.event() is None
        return sorted(codes)

    assert asyncio.run(scenario()) == ["operation_not_found", "user_cancelled"]


def test_an_unexpected_failure_is_a_plain_problem(bridge: Bridge) -> None:
    async def explode(provider: Provider, challenge_nonce: str) -> str:
        raise RuntimeError("secret detail")

    bridge.source.fetch = explode  # type: ignore[method-assign] # the failure under test

    async def scenario() -> None:
        headers = bridge.page(("content-type", "application/json"))
        scope = bridge.client.scope("POST", "/v1/authenticate", headers)
        body = b'{"challenge_nonce":"' + nonce_of("x").encode() + b'"}'
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
            sent.append(message)

        with pytest.raises(RuntimeError):
            await bridge.client.app(scope, receive, send)
        assert sent[0]["status"] == 500
        assert b"secret" not in sent[1]["body"]

    asyncio.run(scenario())
