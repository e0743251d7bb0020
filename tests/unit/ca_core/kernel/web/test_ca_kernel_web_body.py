"""Bodies and JSON, where a hostile one once got past a bound."""

import asyncio
import json

import pytest
from starlette.requests import Request
from starlette.types import Message

from ca_core.kernel.web.body import MAX_DEPTH, parse_json_object, read_body
from ca_core.kernel.web.errors import BodyCutOff, BodyTooLarge, MalformedJson


def request(length: bytes | None, *messages: Message) -> Request:
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0)

    headers = [] if length is None else [(b"content-length", length)]
    return Request({"type": "http", "headers": headers}, receive)


@pytest.mark.parametrize("length", [b"101", b"9" * 5_000, b"-1", b"1e2", "²".encode("latin-1"), b"", b" 5"])
def test_a_declared_length_beyond_the_limit_or_no_number(length: bytes) -> None:
    with pytest.raises(BodyTooLarge):
        asyncio.run(read_body(request(length), limit=100))


def test_a_body_that_is_cut_off() -> None:
    piece: Message = {"type": "http.request", "body": b"abc", "more_body": True}
    with pytest.raises(BodyCutOff):
        asyncio.run(read_body(request(b"5", piece, {"type": "http.disconnect"}), limit=100))


def test_depth_is_that_of_arrays_and_objects_alone() -> None:
    """Brackets in strings neither add to it nor take from it."""
    deepest = '{"a":' + "[" * (MAX_DEPTH - 1) + '"[[[[\\"]]]]"' + "]" * (MAX_DEPTH - 1) + "}"
    assert parse_json_object(deepest.encode()) == json.loads(deepest)
    hidden = '{"a":"' + "]" * 50 + '","b":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}"
    with pytest.raises(MalformedJson, match="too deep"):
        parse_json_object(hidden.encode())


@pytest.mark.parametrize("octets", [b'{"a":"', b'{"a":"\\', b'{"' + b'\\"' * 100_000, b"[" * 100_000, b"}" * 100_000])
def test_what_never_ends_is_refused(octets: bytes) -> None:
    with pytest.raises(MalformedJson):
        parse_json_object(octets)
