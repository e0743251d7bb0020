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
    """cert_id: DER as it was asked. status: None for a serial that was never issued."""

    cert_id: bytes
    status: CertificateStatus | None


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
    singles = (der.tlv(der.SEQUENCE, answer.cert_id, _status(answer.status), times) for answer in answers)
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
