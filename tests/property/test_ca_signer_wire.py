"""Whatever octets come over the port: a request, or one of two refusals."""

import json
from base64 import b64encode

from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ca_core.kernel.web.body import parse_json_object
from ca_core.kernel.web.errors import MalformedJson
from ca_core.signer.wire import IssueBody, RequestBody
from support.pki import citizen_request

REQUEST = citizen_request()
GOOD = json.loads(RequestBody.of(REQUEST).model_dump_json())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_there_and_back() -> None:
    back = RequestBody.model_validate(GOOD).to_request()
    assert back.csr is not None and REQUEST.csr is not None
    assert back.csr.public_bytes(Encoding.DER) == REQUEST.csr.public_bytes(Encoding.DER)
    assert back.digest == REQUEST.digest
    assert (back.request_id, back.actor) == (REQUEST.request_id, REQUEST.actor)


@given(member=st.sampled_from(sorted(GOOD)), value=JSON)
def test_any_member_of_any_type(member: str, value: object) -> None:
    body = json.dumps({"request": GOOD | {member: value}}).encode()
    try:
        read = IssueBody.model_validate(parse_json_object(body)).request.to_request()
    except (ValidationError, ValueError):
        return
    assert read.profile


@given(st.binary(max_size=200))
def test_any_octets(octets: bytes) -> None:
    try:
        IssueBody.model_validate(parse_json_object(octets))
    except (MalformedJson, ValidationError):
        return
    raise AssertionError("no random octets are a request")


@given(st.binary(min_size=1, max_size=300))
def test_any_der(octets: bytes) -> None:
    body = GOOD | {"public_key": b64encode(octets).decode(), "csr": b64encode(octets).decode()}
    try:
        RequestBody.model_validate(body).to_request()
    except ValueError:
        return
    raise AssertionError("no random octets are a key")
