"""ASN.1 of RFC 3161 where asn1crypto's own is not strict or not complete."""

from asn1crypto.cms import ContentInfo
from asn1crypto.core import Sequence
from asn1crypto.tsp import PKIStatusInfo


class TimeStampResponse(Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    """TimeStampResp, whose token is absent in a refusal."""

    _fields = [  # noqa: RUF012 - asn1crypto's way
        ("status", PKIStatusInfo),
        ("time_stamp_token", ContentInfo, {"optional": True}),
    ]
