"""A CRL entry's octets, made once, when the status changes; a CRL is then a stream of stored octets."""

from datetime import datetime

from ca_core.revocation import der
from ca_core.revocation.model import RevocationReason

_REASON_CODE = bytes.fromhex("0603551d15")  # 2.5.29.21
_INVALIDITY_DATE = bytes.fromhex("0603551d18")  # 2.5.29.24


def crl_entry(serial: int, at: datetime, reason: RevocationReason, invalidity_date: datetime | None = None) -> bytes:
    """An element of revokedCertificates in DER.

    The reason `unspecified` is left out, as RFC 5280 s5.3.1 wants it. About 40 octets, 60 with an invalidity date.
    """
    extensions = b""
    if reason is not RevocationReason.UNSPECIFIED:
        extensions += der.extension(_REASON_CODE, der.integer(reason.crl_code, der.ENUMERATED))
    if invalidity_date is not None:
        extensions += der.extension(_INVALIDITY_DATE, der.generalized_time(invalidity_date))
    tail = (der.tlv(der.SEQUENCE, extensions),) if extensions else ()
    return der.tlv(der.SEQUENCE, der.integer(serial), der.time(at), *tail)
