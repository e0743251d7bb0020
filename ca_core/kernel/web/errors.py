"""What a request can get wrong before any feature reads it."""

from typing import ClassVar

from ca_core.kernel.errors import DomainError


class RequestError(DomainError):
    """A request that cannot be read. Each surface maps it to its own form of a 4xx answer."""

    code = "invalid_request"
    status: ClassVar[int] = 400


class BodyTooLarge(RequestError):
    code = "body_too_large"
    status = 413


class BodyCutOff(RequestError):
    """The client went away, or took too long, before the body's end. Nobody reads the answer."""


class MalformedForm(RequestError):
    """Not application/x-www-form-urlencoded, not UTF-8, too many fields, or a field given twice."""

    code = "malformed_form"


class MalformedJson(RequestError):
    """Not a JSON object, too deep, or a member given twice."""

    code = "malformed_json"
