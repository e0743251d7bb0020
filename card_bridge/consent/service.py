"""Binds each consent window to the one browser that opened it, and its forms to the window."""

import hashlib
import hmac
import threading
from base64 import urlsafe_b64encode

from card_bridge.clock import Rng, random_token
from card_bridge.consent.errors import FormForged, WindowClaimed, WindowGone
from card_bridge.operations.errors import OperationNotFound
from card_bridge.operations.operation import Operation
from card_bridge.operations.service import OperationDesk


class ConsentWindows:
    """The id in a window's address works once: the first browser gets a key, and nobody without it comes after."""

    def __init__(self, desk: OperationDesk, rng: Rng) -> None:
        self._desk = desk
        self._rng = rng
        self._secret = rng(32)
        self._lock = threading.Lock()
        self._claimed: tuple[str, str] = ("", "")  # the latest window's id and its browser's key

    def open(self, consent_id: str, browser_key: str) -> tuple[Operation, str]:
        """(operation, key that the browser keeps). Raises: WindowGone, WindowClaimed."""
        operation = self._operation(consent_id)
        with self._lock:
            claimed_id, key = self._claimed
            if claimed_id != operation.consent_id:
                key = random_token(self._rng)
                self._claimed = (operation.consent_id, key)
                return operation, key
        if not _equal(key, browser_key):
            raise WindowClaimed
        return operation, key

    def find(self, consent_id: str, browser_key: str) -> Operation:
        """The operation of a window that this browser opened. Raises: WindowGone, WindowClaimed."""
        operation = self._operation(consent_id)
        with self._lock:
            claimed_id, key = self._claimed
        if claimed_id != operation.consent_id or not _equal(key, browser_key):
            raise WindowClaimed
        return operation

    def csrf_token(self, browser_key: str) -> str:
        """What each form of the window carries."""
        mac = hmac.new(self._secret, browser_key.encode("utf-8"), hashlib.sha256)
        return urlsafe_b64encode(mac.digest()).rstrip(b"=").decode("ascii")

    def verify_form(self, browser_key: str, presented: str) -> None:
        """Accept iff the form carries the token of this browser's window. Raises: FormForged."""
        if not _equal(self.csrf_token(browser_key), presented):
            raise FormForged

    def _operation(self, consent_id: str) -> Operation:
        try:
            return self._desk.find_by_consent(consent_id)
        except OperationNotFound as error:
            raise WindowGone from error


def _equal(secret: str, presented: str) -> bool:
    return hmac.compare_digest(secret.encode("ascii"), presented.encode("utf-8", "surrogatepass"))
