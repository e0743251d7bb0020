"""Whatever octets come, the OCSP parser ends in an OCSP protocol error and nothing else."""

from contextlib import suppress

from asn1crypto import core
from asn1crypto import ocsp as asn1_ocsp
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from ca_core.revocation import der
from ca_core.status.errors import OcspRequestForeign, OcspRequestMalformed
from ca_core.status.ocsp_request import parse_ocsp_request
from ca_core.status.ocsp_web import parse_ocsp_path


def parse(octets: bytes) -> None:
    with suppress(OcspRequestMalformed, OcspRequestForeign):
        parsed = parse_ocsp_request(octets, max_bytes=8_192, max_certificates=16)
        assert 1 <= len(parsed.cert_ids) <= 16
        assert all(found.octets in octets for found in parsed.cert_ids)
        assert parsed.nonce is None or 1 <= len(parsed.nonce) <= 128


def request(serials: list[int], nonce: bytes | None) -> bytes:
    tbs: dict[str, object] = {
        "request_list": [
            {
                "req_cert": {
                    "hash_algorithm": {"algorithm": "sha1"},
                    "issuer_name_hash": b"n" * 20,
                    "issuer_key_hash": b"k" * 20,
                    "serial_number": serial,
                }
            }
            for serial in serials
        ]
    }
    if nonce is not None:
        value = core.ParsableOctetString(core.OctetString(nonce).dump())
        tbs["request_extensions"] = [{"extn_id": "1.3.6.1.5.5.7.48.1.2", "critical": False, "extn_value": value}]
    octets: bytes = asn1_ocsp.OCSPRequest({"tbs_request": tbs}).dump()
    return octets


SERIALS = st.lists(st.integers(-(2**170), 2**170), max_size=20)
REQUESTS = st.builds(request, SERIALS, st.none() | st.binary(max_size=140))


@given(st.binary(max_size=400))
def test_random_octets(octets: bytes) -> None:
    parse(octets)


@given(st.binary(max_size=200))
def test_random_content_of_a_sequence(content: bytes) -> None:
    parse(der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, content)))


@given(REQUESTS, st.data())
def test_truncated(octets: bytes, data: st.DataObject) -> None:
    parse(octets)
    parse(octets[: data.draw(st.integers(0, len(octets)))])


@given(REQUESTS, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6))
def test_altered_octets(octets: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(octets)
    for place, value in changes:
        changed[place % len(changed)] = value
    parse(bytes(changed))


@given(st.lists(st.integers(1, 2**159 - 1), min_size=1, max_size=16), st.none() | st.binary(min_size=1, max_size=128))
def test_a_well_formed_request_says_what_it_was_made_of(serials: list[int], nonce: bytes | None) -> None:
    parsed = parse_ocsp_request(request(serials, nonce), max_bytes=8_192, max_certificates=16)
    assert [found.serial for found in parsed.cert_ids] == serials
    assert parsed.nonce == nonce
    if len(serials) == 1:
        assert ocsp.load_der_ocsp_request(request(serials, nonce)).serial_number == serials[0]


@given(st.text(max_size=200))
def test_get_paths(path: str) -> None:
    with suppress(ValueError):
        parse_ocsp_path(path)


@given(st.integers(0, 2**400))
def test_der_integers_are_what_another_library_makes(value: int) -> None:
    assert der.integer(value) == core.Integer(value).dump()


@given(st.integers(0, 10**7))
def test_der_headers(size: int) -> None:
    header = der.header(der.SEQUENCE, size)
    length = header[1] if header[1] < 0x80 else int.from_bytes(header[2:], "big")
    assert length == size
    assert len(header) == (2 if size < 128 else 2 + (size.bit_length() + 7) // 8)
