"""One spelling of each origin, and nothing else."""

import pytest

from card_bridge.web_eid.errors import OriginMalformed
from card_bridge.web_eid.origin import parse_origin


@pytest.mark.parametrize(
    "text",
    [
        "https://id.example.tw",
        "https://id.example.tw:8443",
        "https://xn--fiq228c.tw",
        "https://localhost",
        "https://192.0.2.1:444",
        "https://[2001:db8::1]:8443",
        "http://localhost",
        "http://localhost:8000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "https://" + "a" * 63 + ".tw",
    ],
)
def test_origins_as_browsers_write_them(text: str) -> None:
    assert parse_origin(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "https://",
        "https://id.example.tw/",
        "https://id.example.tw/path",
        "https://id.example.tw?q",
        "https://id.example.tw#f",
        "https://user@id.example.tw",
        "https://user:pass@id.example.tw",
        "https://id.example.tw:443",
        "http://localhost:80",
        "https://id.example.tw:0",
        "https://id.example.tw:08443",
        "https://id.example.tw:65536",
        "https://id.example.tw:",
        "http://id.example.tw",
        "http://localhost.evil.tw",
        "http://192.0.2.1",
        "HTTPS://id.example.tw",
        "https://ID.example.tw",
        "https://id.example.tw.",
        "https://id..example.tw",
        "https://-id.example.tw",
        "https://id_x.example.tw",
        "https://例子.tw",
        "https://id.example.tw ",
        " https://id.example.tw",
        "https://id.example.tw\n",
        "https://2130706433",
        "https://127.1",
        "https://0x7f000001",
        "https://192.0.2.01",
        "https://[2001:db8:0::1]",
        "https://[::ffff:1.2.3.4%25eth0]",
        "https://[::g]",
        "wss://id.example.tw",
        "ftp://id.example.tw",
        "file://",
        "https:id.example.tw",
        "https://" + "a" * 64 + ".tw",
        "https://" + "a." * 130 + "tw",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(OriginMalformed):
        parse_origin(text)
