"""The server as it runs: on loopback alone, over raw sockets, with the real reader service and a virtual card."""

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from card_bridge.doctor import check_port
from card_bridge.server.listener import bind_loopback
from support.card_desk import BRIDGE, ORIGIN, PIN, CardDesk, card_desk, ready_line
from support.processes import run, started

PAGE = {"Origin": ORIGIN, "X-Card-Bridge": "1"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CardDesk]:
    with card_desk(tmp_path_factory.mktemp("desk")) as running:
        yield running


@contextmanager
def serving(desk: CardDesk, *arguments: object) -> Iterator[dict[str, Any]]:
    command = desk.command("serve", "--data", desk.data, "--json", *arguments)
    log = desk.folder / "serve.log"
    with started(command, log=log, stdout=subprocess.PIPE) as process:
        yield {**ready_line(process), "pid": process.pid}


@pytest.fixture(scope="module")
def server(desk: CardDesk) -> Iterator[dict[str, Any]]:
    with serving(desk) as ready:
        yield ready


def begin(desk: CardDesk, server: dict[str, Any]) -> dict[str, Any]:
    nonce, compact = desk.statement()
    body = {"challenge_nonce": nonce, "statement": compact, "lang": "en"}
    answer = httpx2.post(f"{server['url']}/v1/authenticate", json=body, headers=PAGE)
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    return document


class Listener(threading.Thread):
    """The page's event stream."""

    def __init__(self, server: dict[str, Any], begun: dict[str, Any]) -> None:
        super().__init__()
        self.url = f"{server['url']}/v1/events?operation_id={begun['operation_id']}"
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.start()

    def run(self) -> None:
        with httpx2.stream("GET", self.url, headers=PAGE, timeout=60) as response:
            name = ""
            for line in response.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    self.events.append((name, json.loads(value)))

    def last(self) -> tuple[str, dict[str, Any]]:
        self.join(60)
        return self.events[-1]


class Window:
    """The consent window in a browser without script."""

    def __init__(self, server: dict[str, Any], begun: dict[str, Any]) -> None:
        self.client = httpx2.Client(headers={"Origin": server["url"]}, follow_redirects=True, timeout=20)
        self.url = begun["consent_url"]
        self.text = self.client.get(self.url).text

    def until(self, part: str) -> None:
        for _ in range(200):
            if part in self.text:
                return
            time.sleep(0.05)
            self.text = self.client.get(self.url).text
        raise AssertionError(f"{part} never came: {self.text}")

    def send(self, **fields: str) -> None:
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.text)
        assert token is not None
        self.text = self.client.post(self.url, data={"csrf_token": token[1], **fields}).text


@contextmanager
def window_of(server: dict[str, Any], begun: dict[str, Any]) -> Iterator[Window]:
    window = Window(server, begun)
    with closing(window.client):
        yield window


def test_a_login_with_a_wrong_pin_first(desk: CardDesk, server: dict[str, Any]) -> None:
    begun = begin(desk, server)
    listener = Listener(server, begun)
    with window_of(server, begun) as window:
        window.until('id="pin"')
        window.send(action="pin", pin="000000")
        window.until('data-code="pin_incorrect"')
        window.send(action="pin", pin=PIN)
        window.until('data-outcome="done"')
    name, data = listener.last()
    assert name == "result"
    assert data["auth_token"]["format"] == "web-eid:1.0"
    wrong = [event for event in listener.events if event[0] == "error"]
    assert [event[1]["code"] for event in wrong] == ["pin_incorrect"]


def test_a_card_inserted_late_and_removed_half_way(desk: CardDesk, server: dict[str, Any]) -> None:
    desk.remove()
    begun = begin(desk, server)
    listener = Listener(server, begun)
    with window_of(server, begun) as window:
        window.until('data-trouble="no_card"')
        desk.insert()
        window.until('id="pin"')
        desk.remove_at("87", "1", "before")
        try:
            window.send(action="pin", pin=PIN)
            window.until('data-outcome="card_removed"')
        finally:
            desk.insert()
    assert listener.last() == ("error", {"code": "card_removed"})


def test_a_page_that_goes_away(desk: CardDesk, server: dict[str, Any]) -> None:
    begun = begin(desk, server)
    with httpx2.stream(
        "GET", f"{server['url']}/v1/events?operation_id={begun['operation_id']}", headers=PAGE
    ) as stream:
        next(stream.iter_lines())
    with window_of(server, begun) as window:
        window.until('data-outcome="user_cancelled"')


def listening(pid: int) -> set[str]:
    """Addresses that a process listens on, from the kernel's own tables."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        match = re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink())) if descriptor.is_symlink() else None
        if match:
            inodes.add(match[1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


def test_it_listens_on_loopback_alone(server: dict[str, Any]) -> None:
    addresses = listening(server["pid"])
    assert addresses
    assert addresses <= {"0100007F", "0" * 24 + "01000000"}


def exchange(server: dict[str, Any], octets: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server["port"]), 10) as connection:
        connection.sendall(octets)
        connection.settimeout(10)
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = connection.recv(65_536)
            if not chunk:
                break
            answer += chunk
        return answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n{page}\r\n", b"421"),
        (b"GET http://evil.example/v1/status HTTP/1.1\r\nHost: evil.example\r\n{page}\r\n", b"421"),
        (b"GET /v1/status HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n{page}\r\n", b"4"),
        (b"GET /v1/status HTTP/1.1\r\n{page}\r\n", b"4"),
        (b"GET /v1/status HTTP/1.0\r\n{page}\r\n", b"421"),
        (b"GET /v1/status HTTP/1.1\r\nHost: {host}\r\n{page}\r\n", b"200"),
        (b"GET /v1/status HTTP/1.1\r\nHost: {host}\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n", b"4"),
        (b"GET /v1/events HTTP/1.1\r\nHost: {host}\r\n{page}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"404"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b""),
    ],
)
def test_raw_requests(request_: bytes, status: bytes, server: dict[str, Any]) -> None:
    page = f"Origin: {ORIGIN}\r\nX-Card-Bridge: 1\r\n".encode()
    octets = request_.replace(b"{host}", f"127.0.0.1:{server['port']}".encode()).replace(b"{page}", page)
    answer = exchange(server, octets)
    assert answer == b"" or answer.split(b" ")[1].startswith(status), answer
    assert b"server:" not in answer.lower()


def test_a_crash_would_leave_no_image_of_its_memory(server: dict[str, Any]) -> None:
    limits = Path(f"/proc/{server['pid']}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0\s", limits)


def test_a_taken_port_is_refused_and_doctor_knows_who_has_it(desk: CardDesk, server: dict[str, Any]) -> None:
    done = run([BRIDGE, "serve", "--data", desk.data, "--port", server["port"]], check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("configuration_error: ")
    assert check_port(server["port"]).ok
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        assert not check_port(stranger.getsockname()[1]).ok


def test_two_bridges_side_by_side(desk: CardDesk, server: dict[str, Any]) -> None:
    with serving(desk, "--port", 0) as second:
        assert second["port"] != server["port"]
        answer = httpx2.get(f"{second['url']}/v1/status", headers=PAGE)
        assert answer.json()["pending"] is False


def test_a_name_that_leads_to_somebody_elses_listener_is_refused() -> None:
    """`localhost` may be ::1 first: what listens there must be us, or the port is not ours."""
    if not socket.has_ipv6:
        return
    with socket.socket(socket.AF_INET6) as other:
        try:
            other.bind(("::1", 0))
        except OSError:
            return  # this machine has no ::1
        other.listen()
        port = other.getsockname()[1]
        done = run([BRIDGE, "serve", "--data", "/nonexistent", "--port", port], check=False)
        assert done.returncode == 1
        with pytest.raises(Exception, match="cannot be bound"):
            bind_loopback(port)


def test_the_pin_is_in_no_log(desk: CardDesk, server: dict[str, Any]) -> None:
    begun = begin(desk, server)
    listener = Listener(server, begun)
    with window_of(server, begun) as window:
        window.until('id="pin"')
        window.send(action="pin", pin=PIN)
        window.until('data-outcome="done"')
    assert listener.last()[0] == "result"
    assert PIN not in (desk.folder / "serve.log").read_text()
