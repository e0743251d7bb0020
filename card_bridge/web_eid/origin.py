"""Web origins: the one spelling of each that a card signs for."""

import ipaddress
import re
from typing import NewType

from card_bridge.web_eid.errors import OriginMalformed

Origin = NewType("Origin", str)
"""An origin that passed `parse_origin`."""

MAX_ORIGIN_LENGTH = 255
DEFAULT_PORTS = {"https": 443, "http": 80}
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SHAPE = re.compile(r"(https|http)://(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::([1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def parse_origin(text: str) -> Origin:
    """The origin, if `text` is its ASCII serialisation as browsers write it (RFC 6454 s6.2); nothing is repaired.

    https with any host, or http with a loopback host, which browsers trust as much. No path, not even `/`, no user
    information, query or fragment, no default port, no upper case: two spellings of one origin would have two digests,
    and one of them would get past a list of pinned origins.
    Raises: OriginMalformed.
    """
    if len(text) > MAX_ORIGIN_LENGTH:
        raise OriginMalformed("too long")
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise OriginMalformed("not scheme://host[:port]")
    scheme, host, port = match.groups()
    if scheme == "http" and host not in LOOPBACK_HOSTS:
        raise OriginMalformed("http is for this computer alone")
    if port is not None and (int(port) > 65535 or int(port) == DEFAULT_PORTS[scheme]):
        raise OriginMalformed("a port that browsers do not write")
    _check_host(host)
    return Origin(text)


def _check_host(host: str) -> None:
    try:
        if host.startswith("["):
            if str(ipaddress.IPv6Address(host[1:-1])) != host[1:-1]:
                raise OriginMalformed("an IPv6 address in another spelling")
            return
        labels = host.split(".")
        if labels[-1].isdigit() or labels[-1].startswith("0x"):
            ipaddress.IPv4Address(host)  # browsers read a host with a numeric end as an address
            return
    except ValueError as error:
        raise OriginMalformed("not an IP address") from error
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise OriginMalformed("not a host name")
