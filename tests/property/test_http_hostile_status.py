"""Every public endpoint under /pki/ of the real application against hostile requests: the protocol's own error, never
a 5xx, nothing of the insides, bounded work."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

import pytest
from asn1crypto.tsp import MessageImprint, TimeStampReq
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from ca_core.audit.note import MAX_NOTE_BYTES
from ca_core.timestamp.structures import TimeStampResponse
from idp.demo.configuration import ISSUING
from support.hostile_country import HostileCountry, found
from support.hostile_http import (
    Answer,
    Headers,
    HostileRequest,
    altered,
    der_bodies,
    endless,
    headers,
    methods,
    paths,
    queries,
    verify_bounded,
)

_OCSP_LIMIT = 8_192
_TSA_LIMIT = 8_192
_QUERY = (b"content-type", b"application/timestamp-query")
_CLIENTS_FAULT = {"bad_alg", "bad_request", "bad_data_format", "unaccepted_policy", "unaccepted_extensions"}
_REFUSED = {ocsp.OCSPResponseStatus.MALFORMED_REQUEST, ocsp.OCSPResponseStatus.UNAUTHORIZED}


@dataclass(frozen=True, repr=False)
class Status:
    """Good requests to begin with."""

    country: HostileCountry
    ocsp_request: bytes
    tsa_request: bytes

    def ask(self, method: str, path: str, body: bytes = b"", more: Headers = (), query: bytes = b"") -> Answer:
        return self.country.server.ask(
            HostileRequest(method=method, path=path, query=query, headers=more, body=[body] if body else [])
        )


@pytest.fixture(scope="module")
def status(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Status]:
    with found(tmp_path_factory.mktemp("country")) as country:
        issuer = x509.load_der_x509_certificate(_get(country, f"/pki/ca/{ISSUING}.cer"))
        asked = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
            *(b"n" * 32, sha256(issuer.public_bytes(Encoding.DER)).digest(), 7, hashes.SHA256())
        )
        imprint = MessageImprint({"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": b"h" * 32})
        stamp = TimeStampReq({"version": 1, "message_imprint": imprint, "nonce": 7, "cert_req": True})
        yield Status(country, asked.build().public_bytes(Encoding.DER), stamp.dump())


def _get(country: HostileCountry, path: str) -> bytes:
    answer = country.server.ask(HostileRequest(method="GET", path=path))
    assert answer.status == 200, answer
    return answer.body


def _verify_ocsp(answer: Answer) -> ocsp.OCSPResponse:
    verify_bounded(answer, body_limit=_OCSP_LIMIT)
    assert answer.media_type == "application/ocsp-response"
    return ocsp.load_der_ocsp_response(answer.body)


def test_good_requests_are_answered(status: Status) -> None:
    """What the rest alters is good to begin with."""
    assert _verify_ocsp(status.ask("POST", "/pki/ocsp", status.ocsp_request)).response_status in (
        ocsp.OCSPResponseStatus.UNAUTHORIZED,
        ocsp.OCSPResponseStatus.SUCCESSFUL,
    )
    stamped = status.ask("POST", "/pki/tsa", status.tsa_request, [_QUERY])
    assert TimeStampResponse.load(stamped.body)["status"]["status"].native == "granted"


@given(der_bodies(), headers())
@settings(max_examples=150, deadline=None)
def test_no_ocsp_request_by_post(status: Status, body: bytes, more: Headers) -> None:
    answer = status.ask("POST", "/pki/ocsp", body, more)
    assert _verify_ocsp(answer).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    assert answer.status in (200, 413)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_altered_ocsp_requests(status: Status, data: st.DataObject) -> None:
    body = data.draw(altered(status.ocsp_request))
    by_get = data.draw(st.booleans())
    if by_get:
        answer = status.ask("GET", f"/pki/ocsp/{quote(b64encode(body).decode(), safe='')}")
    else:
        answer = status.ask("POST", "/pki/ocsp", body)
    assert _verify_ocsp(answer).response_status in {*_REFUSED, ocsp.OCSPResponseStatus.SUCCESSFUL}


@given(paths("/pki/ocsp/"), queries(), headers())
@settings(max_examples=150, deadline=None)
def test_odd_paths_of_ocsp(status: Status, path: str, query: bytes, more: Headers) -> None:
    answer = status.ask("GET", path, more=more, query=query)
    assert _verify_ocsp(answer).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_an_ocsp_body_without_an_end(status: Status) -> None:
    answer = status.country.server.ask(HostileRequest(method="POST", path="/pki/ocsp", body=endless()))
    assert answer.status == 413
    assert _verify_ocsp(answer).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def _verify_refused_stamp(answer: Answer) -> set[str]:
    verify_bounded(answer, body_limit=_TSA_LIMIT)
    assert answer.media_type == "application/timestamp-reply"
    reply = TimeStampResponse.load(answer.body, strict=True)
    assert reply["status"]["status"].native == "rejection"
    failures: set[str] = reply["status"]["fail_info"].native
    return failures


@given(der_bodies(), headers())
@settings(max_examples=150, deadline=None)
def test_no_timestamp_request(status: Status, body: bytes, more: Headers) -> None:
    answer = status.ask("POST", "/pki/tsa", body, [_QUERY, *more])
    assert _verify_refused_stamp(answer) == {"bad_data_format"}


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_altered_timestamp_requests(status: Status, data: st.DataObject) -> None:
    answer = status.ask("POST", "/pki/tsa", data.draw(altered(status.tsa_request)), [_QUERY])
    verify_bounded(answer, body_limit=_TSA_LIMIT)
    reply = TimeStampResponse.load(answer.body, strict=True)
    if reply["status"]["status"].native != "granted":
        assert _verify_refused_stamp(answer) <= _CLIENTS_FAULT


@given(st.binary(max_size=40).filter(lambda value: b"timestamp-query" not in value.lower()), headers())
@settings(max_examples=50, deadline=None)
def test_a_timestamp_request_of_another_type(status: Status, media_type: bytes, more: Headers) -> None:
    answer = status.ask("POST", "/pki/tsa", status.tsa_request, [(b"content-type", media_type), *more])
    assert answer.status == 415
    assert _verify_refused_stamp(answer) == {"bad_request"}


def test_a_timestamp_body_without_an_end(status: Status) -> None:
    answer = status.country.server.ask(HostileRequest(method="POST", path="/pki/tsa", headers=[_QUERY], body=endless()))
    assert answer.status == 413
    assert _verify_refused_stamp(answer) == {"bad_data_format"}


def _verify_problem(answer: Answer) -> None:
    assert answer.media_type == "application/problem+json"
    members = json.loads(answer.body)
    assert members["status"] == answer.status
    assert members["code"]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_cosignature(status: Status, data: st.DataObject) -> None:
    checkpoint = _get(status.country, "/pki/log/checkpoint")
    body = data.draw(st.one_of(altered(checkpoint), st.binary(max_size=300), st.just(b"\xe2\x80\x94 a b\n" * 5_000)))
    answer = status.ask("POST", "/pki/log/cosignatures", body, data.draw(headers()))
    verify_bounded(answer, body_limit=MAX_NOTE_BYTES)
    if answer.status != 200 or answer.body:
        assert answer.status in (400, 413)
        _verify_problem(answer)


def test_a_note_without_an_end(status: Status) -> None:
    answer = status.country.server.ask(HostileRequest(method="POST", path="/pki/log/cosignatures", body=endless()))
    verify_bounded(answer, body_limit=MAX_NOTE_BYTES)
    assert answer.status == 413
    _verify_problem(answer)


_BELOW_PKI = (
    "/pki/log/checkpoint",
    "/pki/tsa",
    "/pki/",
    "/pki/crl/",
    "/pki/ca/",
    "/pki/log/",
    "/pki/log/tile/",
    "/pki/log/tile/entries/",
    f"/pki/crl/{ISSUING}/",
)


@given(methods(), paths(*_BELOW_PKI), st.sampled_from(["", ".crl", ".cer", "/", ".p/300"]), queries(), headers())
@settings(max_examples=500, deadline=None)
def test_odd_paths_below_pki(status: Status, method: str, path: str, ending: str, query: bytes, more: Headers) -> None:
    answer = status.ask(method, path + ending, more=more, query=query)
    verify_bounded(answer, body_limit=0)
    assert answer.status in (200, 304, 400, 404, 405, 413)


@given(headers(), queries())
@settings(max_examples=100, deadline=None)
def test_odd_headers_to_what_is_published(status: Status, more: Headers, query: bytes) -> None:
    for path in (
        f"/pki/crl/{ISSUING}.crl",
        f"/pki/crl/{ISSUING}-delta.crl",
        f"/pki/ca/{ISSUING}.cer",
        "/pki/log/checkpoint",
    ):
        answer = status.ask("GET", path, more=more, query=query)
        verify_bounded(answer, body_limit=0)
        assert answer.status in (200, 304, 404)
