"""Reading a TimeStampReq (RFC 3161 s2.4.1) from untrusted octets."""

from asn1crypto.core import Null, Void
from asn1crypto.tsp import TimeStampReq

from ca_core.timestamp.errors import TimestampRefused
from ca_core.timestamp.model import IMPRINT_SIZES, Failure, StampRequest, TimestampSettings


def parse_timestamp_request(der: bytes, settings: TimestampSettings) -> StampRequest:
    """The request, after these checks in this order; each has its own failure.

    1. Not longer than the bound, one DER value and nothing after it (badDataFormat). 2. Version 1 (badRequest). 3. A
    hash that is stamped, without parameters (badAlg). 4. An imprint of its length (badDataFormat). 5. No extensions:
    none is known here (unacceptedExtension). 6. Our policy or none (unacceptedPolicy). 7. A nonce within bounds
    (badRequest).
    Raises: TimestampRefused.
    """
    if len(der) > settings.max_request_bytes:
        raise TimestampRefused(Failure.BAD_DATA_FORMAT, "too long")
    try:
        request = TimeStampReq.load(der, strict=True)
        version = int(request["version"])
        hash_algorithm = request["message_imprint"]["hash_algorithm"]
        oid = str(hash_algorithm["algorithm"].dotted)
        name = str(hash_algorithm["algorithm"].native)
        parameters = hash_algorithm["parameters"]
        imprint = bytes(request["message_imprint"]["hashed_message"])
        policy = None if isinstance(request["req_policy"], Void) else str(request["req_policy"].dotted)
        nonce_value = request["nonce"]
        nonce = None if isinstance(nonce_value, Void) else int(nonce_value)
        nonce_bytes = 0 if nonce is None else len(nonce_value.contents)
        cert_req = bool(request["cert_req"].native)
        extended = not isinstance(request["extensions"], Void)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise TimestampRefused(Failure.BAD_DATA_FORMAT, f"not a TimeStampReq: {type(error).__name__}") from error
    if version != 1:
        raise TimestampRefused(Failure.BAD_REQUEST, "another version")
    if name not in IMPRINT_SIZES or not isinstance(parameters, Void | Null):
        raise TimestampRefused(Failure.BAD_ALG, oid)
    if len(imprint) != IMPRINT_SIZES[name]:
        raise TimestampRefused(Failure.BAD_DATA_FORMAT, "the imprint's length is not the hash's")
    if extended:
        raise TimestampRefused(Failure.UNACCEPTED_EXTENSION)
    if policy not in (None, settings.policy):
        raise TimestampRefused(Failure.UNACCEPTED_POLICY, str(policy))
    if nonce_bytes > settings.max_nonce_bytes:
        raise TimestampRefused(Failure.BAD_REQUEST, "the nonce is too long")
    return StampRequest(
        algorithm=name,
        imprint=imprint,
        policy=policy,
        nonce=nonce,
        cert_req=cert_req,
        null_parameters=isinstance(parameters, Null),
    )
