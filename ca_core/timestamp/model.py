"""What a time stamp says. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType

from ca_core.authorities.model import Authority
from ca_core.keys.model import PrivateKey
from ca_core.profiles.oids import TIME_STAMPING_POLICY


class Failure(Enum):
    """PKIFailureInfo (RFC 3161 s2.4.2): the bit, and what a person is told."""

    BAD_ALG = (0, "不支援此雜湊演算法", "unrecognised or unsupported hash algorithm")
    BAD_REQUEST = (2, "不允許或不支援此項請求", "the transaction is not permitted or supported")
    BAD_DATA_FORMAT = (5, "送出的資料格式有誤", "the data submitted has the wrong format")
    TIME_NOT_AVAILABLE = (14, "時間來源目前無法使用", "the time source is not available")
    UNACCEPTED_POLICY = (15, "不支援所要求的時戳政策", "the requested policy is not supported")
    UNACCEPTED_EXTENSION = (16, "不支援所要求的延伸欄位", "the requested extension is not supported")
    ADD_INFO_NOT_AVAILABLE = (17, "無法提供所要求的附加資訊", "the additional information cannot be given")
    SYSTEM_FAILURE = (25, "系統發生錯誤,暫時無法處理", "the request cannot be handled due to system failure")

    @property
    def bit(self) -> int:
        return self.value[0]

    @property
    def texts(self) -> tuple[str, str]:
        """Chinese, then English."""
        return self.value[1], self.value[2]


IMPRINT_SIZES: Mapping[str, int] = MappingProxyType(
    {name: hashlib.new(name).digest_size for name in ("sha256", "sha384", "sha512")}
)
"""The hashes that are stamped, and the octets of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampSettings:
    """policy: the one that is stamped under. accuracy: how far genTime may be from UTC, a whole number of ms.

    behind: how far a node's clock may be behind the newest stamp of all nodes. key_lifetime: how long a unit's key is
    used, while its certificate goes on to prove what it signed.
    """

    policy: str = TIME_STAMPING_POLICY
    accuracy: timedelta = timedelta(seconds=1)
    behind: timedelta = timedelta(seconds=1)
    max_request_bytes: int = 8_192
    max_nonce_bytes: int = 64
    key_lifetime: timedelta = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class StampRequest:
    """A well-formed request. algorithm: one of IMPRINT_SIZES. policy, nonce: None where it asks for none.

    null_parameters: whether the hash came with NULL, as older implementations send it; the stamp repeats it.
    """

    algorithm: str
    imprint: bytes
    policy: str | None
    nonce: int | None
    cert_req: bool
    null_parameters: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """A recorded stamp: what is signed, and never said again under this serial."""

    serial: int
    gen_time: datetime
    request: StampRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampUnit:
    """A key that signs stamps, its certificate, and the authority that certified it."""

    id: int
    authority: Authority
    certificate_der: bytes
    not_before: datetime
    not_after: datetime
    private_key: PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampAnswer:
    """A TimeStampResp in DER. failure: None where a stamp was granted."""

    der: bytes
    failure: Failure | None = None
