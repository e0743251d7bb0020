"""Making a TimeStampResp (RFC 3161 s2.4.2, RFC 5816, RFC 5652)."""

from datetime import datetime, timedelta
from hashlib import new as new_hash

from asn1crypto import cms, tsp, x509
from asn1crypto.algos import DigestAlgorithm, DigestAlgorithmId, SignedDigestAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.revocation.der import SEQUENCE, tlv
from ca_core.status.signing import scheme_of, sign
from ca_core.timestamp.model import Failure, Stamp, TimestampSettings, TimestampUnit
from ca_core.timestamp.structures import TimeStampResponse

_MILLISECOND = timedelta(milliseconds=1)
_VERSION_1 = "v1"


def refusal_response(failure: Failure) -> bytes:
    """A rejection with its reason, in Chinese and English."""
    status = {"status": "rejection", "status_string": list(failure.texts), "fail_info": _failure_bits(failure)}
    der: bytes = TimeStampResponse({"status": status}).dump()
    return der


def granted_response(stamp: Stamp, unit: TimestampUnit, settings: TimestampSettings) -> bytes:
    """The stamp, signed by the unit's key. Raises: Unavailable, where the key's token is away."""
    certificate = x509.Certificate.load(unit.certificate_der)
    content = cms.EncapsulatedContentInfo(
        {"content_type": "tst_info", "content": cms.ParsableOctetString(_tst_info(stamp, certificate, settings))}
    )
    scheme = scheme_of(unit.private_key)
    digest_name = scheme.hash.name
    attributes = _signed_attributes(bytes(content["content"]), certificate, unit.certificate_der, digest_name)
    signer = cms.SignerInfo(
        {
            "version": _VERSION_1,
            "sid": cms.SignerIdentifier(
                "issuer_and_serial_number",
                cms.IssuerAndSerialNumber({"issuer": certificate.issuer, "serial_number": certificate.serial_number}),
            ),
            "digest_algorithm": _digest_algorithm(digest_name),
            "signed_attrs": attributes,
            "signature_algorithm": SignedDigestAlgorithm.load(scheme.algorithm_identifier),
            "signature": sign(unit.private_key, attributes.untag().dump()),
        }
    )
    signed = {
        "version": "v3",
        "digest_algorithms": [_digest_algorithm(digest_name)],
        "encap_content_info": content,
        "signer_infos": [signer],
    }
    if stamp.request.cert_req:
        signed["certificates"] = [
            cms.CertificateChoices("certificate", certificate),
            cms.CertificateChoices(
                "certificate", x509.Certificate.load(unit.authority.certificate.public_bytes(Encoding.DER))
            ),
        ]
    token = {"content_type": "signed_data", "content": cms.SignedData(signed)}
    der: bytes = TimeStampResponse({"status": {"status": "granted"}, "time_stamp_token": token}).dump()
    return der


def to_milliseconds(moment: datetime) -> datetime:
    """Cut to what a stamp's genTime shows."""
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)


def _tst_info(stamp: Stamp, certificate: x509.Certificate, settings: TimestampSettings) -> bytes:
    request = stamp.request
    seconds, millis = divmod(settings.accuracy // _MILLISECOND, 1_000)
    accuracy = {name: value for name, value in (("seconds", seconds), ("millis", millis)) if value}
    members = {
        "version": _VERSION_1,
        "policy": settings.policy,
        "message_imprint": {
            "hash_algorithm": _digest_algorithm(request.algorithm, with_null=request.null_parameters),
            "hashed_message": request.imprint,
        },
        "serial_number": stamp.serial,
        "gen_time": stamp.gen_time,
        "accuracy": accuracy,
        "tsa": x509.GeneralName("directory_name", certificate.subject),
    }
    if request.nonce is not None:
        members["nonce"] = request.nonce
    der: bytes = tsp.TSTInfo(members).dump()
    return der


def _signed_attributes(
    content: bytes, certificate: x509.Certificate, certificate_der: bytes, digest_name: str
) -> cms.CMSAttributes:
    """contentType, messageDigest and signingCertificateV2: the certificate is named by its hash, not its name alone."""
    issuer = x509.GeneralNames([x509.GeneralName("directory_name", certificate.issuer)])
    named = {
        "cert_hash": new_hash("sha256", certificate_der).digest(),  # sha256 is the default: DER leaves it out
        "issuer_serial": {"issuer": issuer, "serial_number": certificate.serial_number},
    }
    return cms.CMSAttributes(
        [
            {"type": "content_type", "values": ["tst_info"]},
            {"type": "message_digest", "values": [new_hash(digest_name, content).digest()]},
            {"type": "signing_certificate_v2", "values": [tsp.SigningCertificateV2({"certs": [named]})]},
        ]
    )


def _digest_algorithm(name: str, *, with_null: bool = False) -> DigestAlgorithm:
    """Without parameters (RFC 5754 s2), unless an imprint is repeated that was sent with NULL (RFC 3161 s2.4.2).

    From its octets: asn1crypto itself would always write the NULL.
    """
    oid = DigestAlgorithmId(name).dump()
    return DigestAlgorithm.load(tlv(SEQUENCE, oid, b"\x05\x00" if with_null else b""), strict=True)


def _failure_bits(failure: Failure) -> tsp.PKIFailureInfo:
    """A named bit string ends with its last one (X.690 s11.2.2)."""
    return tsp.PKIFailureInfo(tuple(1 if at == failure.bit else 0 for at in range(failure.bit + 1)))
