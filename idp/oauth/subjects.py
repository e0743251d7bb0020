"""What relying parties know a person and a session by: values that two of them cannot bring together."""

import hmac
from base64 import urlsafe_b64encode

from ca_core.kernel.errors import ConfigurationError

MIN_SECRET_BYTES = 32


class PairwiseSubjects:
    """Pairwise `sub` and `sid` values, made by HMAC-SHA-256 from one secret that must never change."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ConfigurationError(f"the pairwise subject secret needs {MIN_SECRET_BYTES} octets or more")
        self._secret = secret

    def sub(self, sector_identifier: str, person_id: str) -> str:
        """43 characters of base64url, the same whenever this sector asks for this person.

        HMAC over sector_identifier || 0x00 || person_id.  Spec: OpenID Connect Core s8.1.
        """
        return self._mac(f"{sector_identifier}\x00{person_id}")

    def sid(self, client_id: str, session_id: str) -> str:
        """The session's name for one client. The leading 0x00 keeps it apart from every `sub`: no host starts so."""
        return self._mac(f"\x00sid\x00{client_id}\x00{session_id}")

    def _mac(self, message: str) -> str:
        return urlsafe_b64encode(hmac.digest(self._secret, message.encode(), "sha256")).rstrip(b"=").decode("ascii")
