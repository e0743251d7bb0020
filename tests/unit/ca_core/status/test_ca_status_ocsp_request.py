from hashlib import sha1, sha256

import pytest
from asn1crypto import core
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca_core.status.errors import OcspRequestForeign, OcspRequestMalformed
from ca_core.status.ocsp_request import OcspRequest, parse_ocsp_request

NAME, KEY = sha1(b"name", usedforsecurity=False).digest(), sha1(b"key", usedforsecurity=False).digest()


def parse(octets: bytes) -> OcspRequest:
    return parse_ocsp_request(octets, max_bytes=8_192, max_certificates=16)


def cert_id(serial: int = 5, algorithm: str = "sha1", *, null: bool = True) -> asn1_ocsp.CertId:
    hashed = {"sha1": (NAME, KEY), "sha256": (sha256(b"name").digest(), sha256(b"key").digest())}
    name, key = hashed.get(algorithm, (NAME, KEY))
    fields: dict[str, object] = {"algorithm": algorithm}
    if null:
        fields["parameters"] = core.Null()
    return asn1_ocsp.CertId(
        {"hash_algorithm": fields, "issuer_name_hash": name, "issuer_key_hash": key, "serial_number": serial}
    )


Extensions = tuple[tuple[str, bool, bytes], ...]


def listed(extensions: Extensions) -> list[dict[str, object]]:
    return [
        {"extn_id": oid, "critical": critical, "extn_value": core.ParsableOctetString(value)}
        for oid, critical, value in extensions
    ]


def request(*cert_ids: asn1_ocsp.CertId, extensions: Extensions = (), of_last: Extensions = ()) -> bytes:
    """of_last: the singleRequestExtensions of the last certificate."""
    requests: list[dict[str, object]] = [{"req_cert": found} for found in cert_ids]
    if of_last:
        requests[-1]["single_request_extensions"] = listed(of_last)
    tbs: dict[str, object] = {"request_list": requests}
    if extensions:
        tbs["request_extensions"] = listed(extensions)
    octets: bytes = asn1_ocsp.OCSPRequest({"tbs_request": tbs}).dump()
    return octets


NONCE = "1.3.6.1.5.5.7.48.1.2"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("serial", [1, 127, 128, 2**127, 2**158])
@pytest.mark.parametrize("count", [1, 3])
def test_cert_ids_come_back_as_they_were_sent(algorithm: str, null: bool, serial: int, count: int) -> None:
    sent = [cert_id(serial + number, algorithm, null=null) for number in range(count)]
    parsed = parse(request(*sent))
    assert [found.octets for found in parsed.cert_ids] == [found.dump() for found in sent]
    assert [found.serial for found in parsed.cert_ids] == [serial + number for number in range(count)]
    assert {found.algorithm.name for found in parsed.cert_ids} == {algorithm}
    assert parsed.nonce is None


def test_cryptographys_own_request() -> None:
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(NAME, KEY, 77, hashes.SHA1())  # noqa: S303 - what clients do
    parsed = parse(builder.add_extension(x509.OCSPNonce(b"n" * 32), False).build().public_bytes(Encoding.DER))
    assert (parsed.cert_ids[0].serial, parsed.nonce) == (77, b"n" * 32)
    assert (parsed.cert_ids[0].issuer_name_hash, parsed.cert_ids[0].issuer_key_hash) == (NAME, KEY)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("size", [1, 16, 32, 128])
def test_nonces_of_every_allowed_size(count: int, size: int) -> None:
    value = core.OctetString(b"\x00" * size).dump()
    sent = request(*[cert_id(number + 1) for number in range(count)], extensions=((NONCE, False, value),))
    assert parse(sent).nonce == b"\x00" * size


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "extensions",
    [
        ((NONCE, False, core.OctetString(b"").dump()),),
        ((NONCE, False, core.OctetString(b"x" * 129).dump()),),
        ((NONCE, False, core.OctetString(b"one").dump()), (NONCE, False, core.OctetString(b"two").dump())),
        (("1.2.3.4", True, b"\x05\x00"),),
    ],
)
def test_extensions_out_of_bounds(count: int, extensions: tuple[tuple[str, bool, bytes], ...]) -> None:
    with pytest.raises(OcspRequestMalformed):
        parse(request(*[cert_id(number + 1) for number in range(count)], extensions=extensions))


@pytest.mark.parametrize("count", [1, 2])
def test_a_nonce_that_is_no_octet_string(count: int) -> None:
    nonce = core.OctetString(b"nonce").dump()
    sent = request(*[cert_id(number + 1) for number in range(count)], extensions=((NONCE, False, nonce),))
    with pytest.raises(OcspRequestMalformed):
        parse(sent.replace(nonce, b"\x0c" + nonce[1:]))


@pytest.mark.parametrize("count", [1, 2])
def test_an_unknown_extension_that_is_not_critical_is_passed_over(count: int) -> None:
    sent = request(*[cert_id(number + 1) for number in range(count)], extensions=(("1.2.3.4", False, b"\x05\x00"),))
    assert len(parse(sent).cert_ids) == count


UNKNOWN = (("1.2.3.4", False, b"\x05\x00"),)
LOCATOR = "1.3.6.1.5.5.7.48.1.7"


@pytest.mark.parametrize("count", [1, 2, 16])
@pytest.mark.parametrize(
    "critical",
    [("1.2.3.4.5", True, b"\x05\x00"), (LOCATOR, True, b"\x30\x02\x30\x00"), (NONCE, True, b"\x04\x01n")],
    ids=["unknown", "service-locator", "nonce"],
)
def test_a_critical_extension_of_one_certificate_is_refused(count: int, critical: tuple[str, bool, bytes]) -> None:
    sent = [cert_id(number + 1) for number in range(count)]
    for of_last in ((critical,), (*UNKNOWN, critical)):
        with pytest.raises(OcspRequestMalformed) as refused:
            parse(request(*sent, of_last=of_last))
        assert refused.value.detail == "an unknown critical extension"


@pytest.mark.parametrize("count", [1, 2])
def test_an_extension_of_one_certificate_that_is_not_critical_is_passed_over(count: int) -> None:
    sent = [cert_id(number + 1) for number in range(count)]
    nonce = core.OctetString(b"nonce").dump()
    parsed = parse(request(*sent, of_last=UNKNOWN, extensions=((NONCE, False, nonce),)))
    assert [found.octets for found in parsed.cert_ids] == [found.dump() for found in sent]
    assert parsed.nonce == b"nonce"


@pytest.mark.parametrize("count", [1, 2])
def test_extensions_of_one_certificate_that_are_none(count: int) -> None:
    octets = request(*[cert_id(number + 1) for number in range(count)], of_last=UNKNOWN)
    broken = octets.replace(b"\x30\x09\x06\x03\x2a\x03\x04", b"\x30\x09\x04\x03\x2a\x03\x04")
    assert broken != octets
    with pytest.raises(OcspRequestMalformed):
        parse(broken)


@pytest.mark.parametrize("count", [1, 2])
def test_an_extension_that_says_octets_of_a_request_hides_no_other(count: int) -> None:
    """The fast way looks for octets; they may stand elsewhere, and then decide nothing."""
    bare = request(cert_id())
    hidden = (("1.2.3.4", False, bare), ("1.2.3.4.5", True, b"\x05\x00"))
    with pytest.raises(OcspRequestMalformed):
        parse(request(*[cert_id() for _ in range(count)], of_last=hidden))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30",
        b"\x30\x80\x00\x00",
        b"GET / HTTP/1.1",
        request(cert_id()) + b"\x00",
        request(cert_id())[:-1],
        request(),
        request(*[cert_id(number + 1) for number in range(17)]),
        b"\x30\x83\x00\x20\x00" + bytes(8192),
    ],
)
def test_garbage_is_malformed(octets: bytes) -> None:
    with pytest.raises(OcspRequestMalformed):
        parse(octets)


def test_the_most_certificates_allowed() -> None:
    assert len(parse(request(*[cert_id(number + 1) for number in range(16)])).cert_ids) == 16


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("algorithm", ["md5", "sha224", "sha512_256"])
def test_a_hash_that_no_issuer_is_found_by_is_foreign(algorithm: str, count: int) -> None:
    with pytest.raises(OcspRequestForeign):
        parse(request(*[cert_id(number + 1, algorithm) for number in range(count)]))


@pytest.mark.parametrize("serial", [0, -1, 2**160, -(2**200), 2**4000])
@pytest.mark.parametrize("count", [1, 2])
def test_serials_that_no_certificate_has_are_read_and_known_to_be_impossible(serial: int, count: int) -> None:
    parsed = parse(request(*[cert_id(serial) for _ in range(count)]))
    assert not any(found.has_possible_serial for found in parsed.cert_ids)
    assert parsed.cert_ids[0].serial == serial
