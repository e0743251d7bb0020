"""What a request can get wrong before an operation begins."""

from typing import ClassVar

from card_bridge.errors import BridgeError


class RequestRefused(BridgeError):
    """The family; each class has the HTTP status it is answered with."""

    code = "invalid_request"
    status: ClassVar[int] = 400


class OriginNotAllowed(RequestRefused):
    """No Origin, more than one, or not exactly a pinned provider's."""

    code = "origin_not_allowed"
    status = 403


class HeaderMissing(RequestRefused):
    """Without `X-Card-Bridge: 1` a request could come from a plain form of any site."""

    code = "header_missing"
    status = 403


class MediaTypeRefused(RequestRefused):
    code = "media_type_not_json"
    status = 415


class BodyTooLarge(RequestRefused):
    code = "body_too_large"
    status = 413


class MalformedJson(RequestRefused):
    """Not a JSON object, or other members than the call has."""

    code = "malformed_json"


class MalformedForm(RequestRefused):
    """Not a form, or a field given twice."""

    code = "malformed_form"


class PageGone(RequestRefused):
    """The page was closed while its request waited for its turn; nobody reads this answer."""

    code, status = "page_gone", 400
