"""OCSP answers' octets (RFC 6960 s4.2). Pure, but for the signature."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from ca_core.revocation import der
from ca_core.revocation.model import RevocationReason
from ca_core.status.model import CertificateState, CertificateStatus, Responder
from ca_core.status.signing import scheme_of, sign

_BASIC = bytes.fromhex("06092b0601050507300101")  # 1.3.6.1.5.5.7.48.1.1
_NONCE = bytes.fromhex("06092b0601050507300102")  # 1.3.6.1.5.5.7.48.1.2
_ARCHIVE_CUTOFF = bytes.fromhex("06092b0601050507300106")  # 1.3.6.1.5.5.7.48.1.6
_CERT_HASH = bytes.fromhex("06052b2408030d")  # 1.3.36.8.3.13
_SHA256 = bytes.fromhex("300b0609608648016503040201")
_GOOD = b"\x80\x00"
_UNKNOWN = b"\x82\x00"


class ResponseStatus(IntEnum):
    SUCCESSFUL = 0
    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    UNAUTHORIZED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleAnswer:
    """cert_id: DER as it was asked. status: None for a serial that was never issued.

    certificate_sha256: of the certificate's DER, which proves that it is on record here.
    archive_cutoff: for an expired certificate, since when revocations are kept.
    """

    cert_id: bytes
    status: CertificateStatus | None
    certificate_sha256: bytes | None = None
    archive_cutoff: datetime | None = None


def error_response(status: ResponseStatus) -> bytes:
    """An OCSPResponse that says only why there is no answer; unsigned."""
    return der.tlv(der.SEQUENCE, der.integer(status.value, der.ENUMERATED))


def signed_response(
    responder: Responder,
    answers: tuple[SingleAnswer, ...],
    *,
    this_update: datetime,
    next_update: datetime,
    nonce: bytes | None,
) -> bytes:
    """An OCSPResponse with a BasicOCSPResponse, the responder named by its key and its certificate included."""
    times = der.generalized_time(this_update) + der.explicit(0, der.generalized_time(next_update))
    singles = (
        der.tlv(der.SEQUENCE, answer.cert_id, _status(answer.status), times, _single_extensions(answer))
        for answer in answers
    )
    extensions = b""
    if nonce is not None:
        wrapped = der.extension(_NONCE, der.tlv(der.OCTET_STRING, nonce))
        extensions = der.explicit(1, der.tlv(der.SEQUENCE, wrapped))
    data = der.tlv(
        der.SEQUENCE,
        der.explicit(2, der.tlv(der.OCTET_STRING, responder.key_identifier)),
        der.generalized_time(this_update),
        der.tlv(der.SEQUENCE, *singles),
        extensions,
    )
    basic = der.tlv(
        der.SEQUENCE,
        data,
        scheme_of(responder.private_key).algorithm_identifier,
        der.tlv(der.BIT_STRING, b"\x00", sign(responder.private_key, data)),
        der.explicit(0, der.tlv(der.SEQUENCE, responder.certificate_der)),
    )
    octets = der.tlv(der.SEQUENCE, _BASIC, der.tlv(der.OCTET_STRING, basic))
    return der.tlv(der.SEQUENCE, der.integer(0, der.ENUMERATED), der.explicit(0, octets))


def _single_extensions(answer: SingleAnswer) -> bytes:
    """CertHash ::= SEQUENCE { hashAlgorithm, certificateHash OCTET STRING } (Common PKI part 4 s3.1.2); never critical,
    so that whoever does not know it passes over it. ArchiveCutoff: RFC 6960 s4.4.4."""
    extensions = b""
    if answer.certificate_sha256 is not None:
        hashed = der.tlv(der.SEQUENCE, _SHA256, der.tlv(der.OCTET_STRING, answer.certificate_sha256))
        extensions += der.extension(_CERT_HASH, hashed)
    if answer.archive_cutoff is not None:
        extensions += der.extension(_ARCHIVE_CUTOFF, der.generalized_time(answer.archive_cutoff))
    return der.explicit(1, der.tlv(der.SEQUENCE, extensions)) if extensions else b""


def _status(status: CertificateStatus | None) -> bytes:
    if status is None:
        return _UNKNOWN
    if status.state is CertificateState.GOOD:
        return _GOOD
    if status.since is None:
        raise TypeError("a certificate that is not good is so since some moment")
    reason = b""
    if status.reason is not None and status.reason is not RevocationReason.UNSPECIFIED:
        reason = der.explicit(0, der.integer(status.reason.crl_code, der.ENUMERATED))
    return der.explicit(1, der.generalized_time(status.since), reason)
