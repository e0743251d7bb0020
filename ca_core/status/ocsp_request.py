"""OCSP requests, from untrusted octets (RFC 6960 s4.1, RFC 9654)."""

from dataclasses import dataclass
from hashlib import sha1
from itertools import chain

from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp

from ca_core.revocation import der
from ca_core.status.errors import OcspRequestForeign, OcspRequestMalformed

MAX_NONCE_BYTES = 128
MAX_SERIAL_BITS = 160

_OIDS = {
    "sha1": bytes.fromhex("06052b0e03021a"),
    "sha256": bytes.fromhex("0609608648016503040201"),
    "sha384": bytes.fromhex("0609608648016503040202"),
    "sha512": bytes.fromhex("0609608648016503040203"),
}
_ALGORITHMS: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - a CertID names an issuer by it; nothing rests on its strength
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_NULL = b"\x05\x00"
_NONCE = "1.3.6.1.5.5.7.48.1.2"
_NONCE_DER = bytes.fromhex("06092b0601050507300102")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertId:
    """Which certificate is asked about. `octets`: its DER as it was sent, to be echoed."""

    algorithm: hashes.HashAlgorithm
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: int
    octets: bytes

    @property
    def has_possible_serial(self) -> bool:
        """False for a serial that no certificate of ours can have."""
        return self.serial > 0 and self.serial.bit_length() <= MAX_SERIAL_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspRequest:
    cert_ids: tuple[CertId, ...]
    nonce: bytes | None


def parse_ocsp_request(untrusted: bytes, *, max_bytes: int, max_certificates: int) -> OcspRequest:
    """An OCSPRequest in DER. Its optional signature is not looked at.

    Raises: OcspRequestMalformed, also for a critical extension that is not known here, of the request or of one
    certificate in it (RFC 6960 s4.4), and for a nonce outside of 1..128 octets; OcspRequestForeign, for a CertID with a
    hash that no issuer here is found by.
    """
    if len(untrusted) > max_bytes:
        raise OcspRequestMalformed("too large")
    try:
        parsed = ocsp.load_der_ocsp_request(untrusted)
    except NotImplementedError:  # how cryptography says that it asks about none or several certificates
        return _parse_many(untrusted, max_certificates)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise OcspRequestMalformed("not an OCSPRequest") from error
    try:
        algorithm = parsed.hash_algorithm
    except UnsupportedAlgorithm as error:
        raise OcspRequestForeign("unknown hash") from error
    if algorithm.name not in _OIDS:
        raise OcspRequestForeign(algorithm.name)
    nonce = None
    try:
        for found in parsed.extensions:
            if isinstance(found.value, x509.OCSPNonce):
                nonce = _bounded_nonce(found.value.nonce)
                if (
                    der.extension(_NONCE_DER, der.tlv(der.OCTET_STRING, nonce), critical=found.critical)
                    not in untrusted
                ):
                    raise OcspRequestMalformed("a nonce that is no OCTET STRING")
            elif found.critical:
                raise OcspRequestMalformed("an unknown critical extension")
    except (ValueError, x509.DuplicateExtension) as error:
        raise OcspRequestMalformed("extensions") from error
    cert_id = _cert_id(
        algorithm.name, parsed.issuer_name_hash, parsed.issuer_key_hash, parsed.serial_number, within=untrusted
    )
    if not _is_plain(untrusted, cert_id):  # cryptography does not show singleRequestExtensions
        return _parse_many(untrusted, max_certificates)
    return OcspRequest(cert_ids=(cert_id,), nonce=nonce)


def _is_plain(untrusted: bytes, cert_id: CertId) -> bool:
    """Whether the request begins with its list, and that is this CertID without any extension of its own.

    untrusted: DER that was parsed as an OCSPRequest.
    """
    start = 0
    for _ in range(2):  # the heads of OCSPRequest and TBSRequest
        size = untrusted[start + 1]
        start += 2 + (size & 0x7F if size & 0x80 else 0)
    return untrusted.startswith(der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, cert_id.octets)), start)


def _parse_many(untrusted: bytes, max_certificates: int) -> OcspRequest:
    try:
        tbs = asn1_ocsp.OCSPRequest.load(untrusted, strict=True)["tbs_request"]
        requests = tbs["request_list"]
        if not 1 <= len(requests) <= max_certificates:
            raise OcspRequestMalformed("no certificate, or too many")
        cert_ids = tuple(_cert_id_of(request["req_cert"], untrusted) for request in requests)
        for extension in chain.from_iterable(request["single_request_extensions"] for request in requests):
            if extension["critical"].native:
                raise OcspRequestMalformed("an unknown critical extension")
        nonce = None
        for extension in tbs["request_extensions"]:
            if extension["extn_id"].dotted == _NONCE:
                if nonce is not None:
                    raise OcspRequestMalformed("two nonces")
                nonce = _bounded_nonce(extension["extn_value"].parsed.native)
            elif extension["critical"].native:
                raise OcspRequestMalformed("an unknown critical extension")
        return OcspRequest(cert_ids=cert_ids, nonce=nonce)
    except (ValueError, TypeError, KeyError) as error:
        raise OcspRequestMalformed("not an OCSPRequest") from error


def _cert_id_of(found: asn1_ocsp.CertId, within: bytes) -> CertId:
    name = found["hash_algorithm"]["algorithm"].native
    if name not in _OIDS:
        raise OcspRequestForeign(str(name)[:64])
    return _cert_id(
        name,
        found["issuer_name_hash"].native,
        found["issuer_key_hash"].native,
        found["serial_number"].native,
        within=within,
    )


def _cert_id(name: str, issuer_name_hash: bytes, issuer_key_hash: bytes, serial: int, *, within: bytes) -> CertId:
    """The hash's parameters may be NULL or absent; the answer must have what the request has."""
    for parameters in (_NULL, b""):
        octets = _cert_id_octets(name, parameters, issuer_name_hash, issuer_key_hash, serial)
        if octets in within:
            return CertId(
                algorithm=_ALGORITHMS[name],
                issuer_name_hash=issuer_name_hash,
                issuer_key_hash=issuer_key_hash,
                serial=serial,
                octets=octets,
            )
    raise OcspRequestMalformed("a CertID that is not DER")


def rfc5019_cert_id(issuer: x509.Certificate, serial: int) -> bytes:
    """The CertID's DER as nearly every client sends it: by SHA-1 (RFC 5019 s2.1.1), with NULL parameters."""
    name_hash = sha1(issuer.subject.public_bytes(), usedforsecurity=False).digest()
    key_hash = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key()).digest
    return _cert_id_octets("sha1", _NULL, name_hash, key_hash, serial)


def _cert_id_octets(
    name: str, parameters: bytes, issuer_name_hash: bytes, issuer_key_hash: bytes, serial: int
) -> bytes:
    return der.tlv(
        der.SEQUENCE,
        der.tlv(der.SEQUENCE, _OIDS[name], parameters),
        der.tlv(der.OCTET_STRING, issuer_name_hash),
        der.tlv(der.OCTET_STRING, issuer_key_hash),
        _signed_integer(serial),
    )


def _signed_integer(value: int) -> bytes:
    size = ((value if value >= 0 else ~value).bit_length()) // 8 + 1
    return der.tlv(der.INTEGER, value.to_bytes(size, "big", signed=True))


def _bounded_nonce(nonce: object) -> bytes:
    if not isinstance(nonce, bytes) or not 1 <= len(nonce) <= MAX_NONCE_BYTES:
        raise OcspRequestMalformed("nonce")
    return nonce
