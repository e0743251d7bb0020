"""Bodies of requests, bounded, and their JSON; forms with a PIN are read into memory that is wiped."""

from starlette.requests import Request

from card_bridge.server.errors import BodyTooLarge, MalformedForm, MalformedJson, MediaTypeRefused
from card_bridge.statement.jose import parse_json_object

MAX_JSON_OCTETS = 16_384
MAX_FORM_OCTETS = 2048
MAX_FIELDS = 16
MAX_FIELD_OCTETS = 128


async def read_body(request: Request, *, limit: int) -> bytearray:
    """The whole body, at most `limit` octets. Raises: BodyTooLarge, before more than the limit is kept."""
    declared = request.headers.get("content-length", "0")
    if not declared.isascii() or not declared.isdigit() or len(declared) > 9 or int(declared) > limit:
        raise BodyTooLarge
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise BodyTooLarge
        body += chunk
    return body


async def read_json(request: Request) -> dict[str, object]:
    """The JSON object of a request whose Content-Type is exactly application/json.

    Raises: MediaTypeRefused, BodyTooLarge, MalformedJson.
    """
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    if media_type.strip().lower() != "application/json" or parameters.strip().lower() not in ("", "charset=utf-8"):
        raise MediaTypeRefused
    body = await read_body(request, limit=MAX_JSON_OCTETS)
    try:
        return parse_json_object(bytes(body))
    except ValueError as error:
        raise MalformedJson from error


def text_member(document: dict[str, object], member: str, *, required: bool, max_length: int) -> str | None:
    """A text member. Raises: MalformedJson if it is something else, too long, or missing though required."""
    value = document.get(member)
    if value is None and not required and member not in document:
        return None
    if not isinstance(value, str) or len(value) > max_length:
        raise MalformedJson(member)
    return value


def parse_form(body: bytearray) -> dict[str, bytearray]:
    """The fields of an untrusted application/x-www-form-urlencoded body, each in memory of its own to be wiped.

    The standard parser would leave the PIN in immutable strings that nobody can clear. The body is wiped.
    Raises: MalformedForm on a repeated field, a bad escape, a control character, too many or too long fields.
    """
    fields: dict[str, bytearray] = {}
    try:
        start = 0
        while start < len(body):
            end = body.find(b"&", start)
            end = len(body) if end < 0 else end
            equals = body.find(b"=", start, end)
            if equals < 0:
                raise MalformedForm("a field without a value")
            name = _decode(body, start, equals).decode("utf-8")
            if name in fields or len(fields) >= MAX_FIELDS:
                raise MalformedForm("a field is repeated, or there are too many")
            fields[name] = _decode(body, equals + 1, end)
            start = end + 1
    except (ValueError, MalformedForm) as error:
        for value in fields.values():
            wipe(value)
        raise MalformedForm from error
    finally:
        wipe(body)
    return fields


def wipe(memory: bytearray) -> None:
    """Overwrite with zeros, in place."""
    memory[:] = bytes(len(memory))


def _decode(body: bytearray, start: int, end: int) -> bytearray:
    decoded = bytearray()
    index = start
    while index < end:
        octet = body[index]
        if octet == 0x25:  # %
            digits = body[index + 1 : index + 3]
            if index + 3 > end or not all(digit in b"0123456789abcdefABCDEF" for digit in digits):
                raise MalformedForm("a bad escape")
            octet = int(digits, 16)
            index += 3
        else:
            octet = 0x20 if octet == 0x2B else octet  # + is a space
            index += 1
        if octet < 0x20 or octet == 0x7F or len(decoded) >= MAX_FIELD_OCTETS:
            raise MalformedForm("a control character, or a field too long")
        decoded.append(octet)
    return decoded
