"""A card station in another process: `card-bridge personalise`, spoken to in JSON lines over its stdin and stdout.

One process makes one card. PINs and the management key go to its stdin and nowhere else: not on its command line, not
into its environment, not into a log or an error here. Its stderr is ours.
"""

import json
import queue
import subprocess
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Final, Self, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.cards.errors import StationFault, StationTimeout
from ca_core.cards.model import CardSlot
from ca_core.keys.model import KeyAlgorithm

MAX_LINE_BYTES: Final = 65_536
_LEAVE_S: Final = 5.0
_CODE_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
T = TypeVar("T", x509.Certificate, x509.CertificateSigningRequest)


class ProcessCardStation:
    """Starts the program on entry and ends it on exit, whatever happened between. Not for several threads.

    command: the program and its arguments, e.g. ["card-bridge", "personalise", "--data", "/var/lib/station"].
    timeout_s: for each exchange; a card may need a minute to make an RSA key. overwrite_spoilt_card: take a card that
    bears the number of an attempt that failed.
    """

    def __init__(
        self, command: Sequence[str], *, timeout_s: float = 180.0, overwrite_spoilt_card: bool = False
    ) -> None:
        self._command = list(command)
        self._overwrite = overwrite_spoilt_card
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._card_number = ""

    def __enter__(self) -> Self:
        """Raises: StationFault, where the program cannot be started."""
        try:
            process = subprocess.Popen(  # noqa: S603 - the command is the operator's, no part of it comes from a request
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:
            raise StationFault(f"not_started: {error.strerror}") from error
        self._process = process
        if process.stdout is None:
            raise StationFault("no_stdout")
        threading.Thread(target=_read_lines, args=(process.stdout, self._lines), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            try:
                process.stdin.close()
            except OSError:
                pass
        try:
            process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def generate(
        self, card_number: str, keys: Mapping[CardSlot, KeyAlgorithm], *, pin: str, puk: str, management_key: bytes
    ) -> dict[CardSlot, x509.CertificateSigningRequest]:
        """See CardStation. Raises: StationFault, StationTimeout."""
        self._card_number = card_number
        order: dict[str, object] = {
            "do": "generate",
            "card_number": card_number,
            "keys": [{"slot": slot.value, "algorithm": algorithm.value} for slot, algorithm in keys.items()],
            "pin": pin,
            "puk": puk,
            "management_key": management_key.hex(),
        }
        if self._overwrite:
            order["again"] = True
        answer = self._exchange(order)
        return _by_slot(answer.get("keys"), "csr", x509.load_der_x509_csr)

    def write(self, certificates: Mapping[CardSlot, x509.Certificate]) -> dict[CardSlot, x509.Certificate]:
        """See CardStation. Raises: StationFault (also where another card answers), StationTimeout."""
        answer = self._exchange(
            {
                "do": "write",
                "certificates": [
                    {"slot": slot.value, "certificate": b64encode(one.public_bytes(Encoding.DER)).decode("ascii")}
                    for slot, one in certificates.items()
                ],
            }
        )
        if answer.get("card_number") != self._card_number:
            raise StationFault("another_card")
        return _by_slot(answer.get("read_back"), "certificate", x509.load_der_x509_certificate)

    def _exchange(self, order: Mapping[str, object]) -> dict[str, object]:
        if self._process is None or self._process.stdin is None:
            raise StationFault("not_running")
        try:
            self._process.stdin.write(json.dumps(order, ensure_ascii=True).encode("ascii") + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended, and its last line says why
        try:
            line = self._lines.get(timeout=self._timeout_s)
        except queue.Empty:
            self._process.kill()
            raise StationTimeout from None
        return _parse_answer(line, str(order["do"]))


def _read_lines(stdout: IO[bytes], lines: "queue.SimpleQueue[bytes]") -> None:
    """Hands over each line, at most MAX_LINE_BYTES of it; an empty one at the end, or where a line is too long."""
    with stdout:
        while (line := stdout.readline(MAX_LINE_BYTES)).endswith(b"\n"):
            lines.put(line)
    lines.put(b"")


def _by_slot(entries: object, member: str, load: Callable[[bytes], T]) -> dict[CardSlot, T]:
    if not isinstance(entries, list):
        raise StationFault("no_list")
    loaded: dict[CardSlot, T] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get(member), str):
            raise StationFault("entry")
        try:
            slot = CardSlot(str(entry.get("slot")))
            value = load(b64decode(entry[member], validate=True))
        except (ValueError, x509.InvalidVersion):
            raise StationFault("entry") from None
        if slot in loaded:
            raise StationFault("slot_twice")
        loaded[slot] = value
    return loaded


def _parse_answer(line: bytes, done: str) -> dict[str, object]:
    if not line:
        raise StationFault("ended")
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        raise StationFault("not_json") from None
    if not isinstance(answer, dict):
        raise StationFault("not_an_object")
    if "error" in answer:
        raise StationFault(_shown_code(answer["error"]))
    if answer.get("done") != done:
        raise StationFault("out_of_step")
    return answer


def _shown_code(code: object) -> str:
    """The station's error code if it looks like one. Its free text is not repeated: it might hold anything."""
    if isinstance(code, str) and 0 < len(code) <= 64 and _CODE_CHARACTERS.issuperset(code):
        return code
    return "unnamed_error"
