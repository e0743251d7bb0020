"""What an import is made of. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

_MAX_PLACE = 160
_LIKE_A_NATIONAL_ID = re.compile(r"[A-Za-z][A-Da-d1289][0-9]{8}")


class Kind(StrEnum):
    CERTIFICATES = "certificates"
    CRL = "crl"
    HOLDERS = "holders"


class Reason(StrEnum):
    """Why one entry is refused."""

    TOO_LARGE = "too_large"
    LINE_TOO_LONG = "line_too_long"
    NOT_A_FILE = "not_a_file"
    ENCODING = "encoding"
    NOT_ONE_CERTIFICATE = "not_one_certificate"
    CERTIFICATE_MALFORMED = "certificate_malformed"
    OTHER_AUTHORITY = "other_authority"
    SIGNATURE_WRONG = "signature_wrong"
    SERIAL_TAKEN = "serial_taken"
    PROFILE_UNKNOWN = "profile_unknown"
    SUBJECT_MALFORMED = "subject_malformed"
    HOLDER_UNKNOWN = "holder_unknown"
    HOLDER_DIFFERS = "holder_differs"
    ENTRY_MALFORMED = "entry_malformed"
    CERTIFICATE_UNKNOWN = "certificate_unknown"
    DATE_IN_FUTURE = "date_in_future"
    STATUS_DIFFERS = "status_differs"
    STATUS_NEWER = "status_newer"
    COLUMNS = "columns"
    NATIONAL_ID_MALFORMED = "national_id_malformed"
    PERSON_MALFORMED = "person_malformed"
    SUBJECT_SERIAL_MALFORMED = "subject_serial_number_malformed"
    SUBJECT_SERIAL_TAKEN = "subject_serial_number_taken"
    CARD_NUMBER_MALFORMED = "card_number_malformed"
    PERSON_DIFFERS = "person_differs"


CURABLE = frozenset({Reason.HOLDER_UNKNOWN, Reason.CERTIFICATE_UNKNOWN, Reason.DATE_IN_FUTURE})
"""Reasons that lie outside of the file: what was refused for one may be accepted later."""


class Verdict(StrEnum):
    """accepted: written. known: it was here already, the same."""

    ACCEPTED = "accepted"
    KNOWN = "known"


Outcome = Verdict | Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a file was read: octets (or entries, or files), and lines."""

    offset: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One entry of a file. place: for people, e.g. "line 17". after: where the next one begins.

    octets: untrusted; None where the entry was refused before it was read.
    """

    place: str
    after: Cursor
    octets: bytes | None
    refusal: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What came of one file."""

    kind: Kind
    authority_id: int
    name: str
    digest: str
    accepted: int
    known: int
    refused: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    started_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One entry that was refused, for the report: where it stands and why, and never what it says."""

    digest: str
    name: str
    place: str
    reason: str


def masked(name: str) -> str:
    """A file's name as it may be shown and stored: whatever looks like a national ID is masked."""
    shown = "".join(character if character.isprintable() else "?" for character in name)
    return _LIKE_A_NATIONAL_ID.sub("[masked]", shown)[:_MAX_PLACE]
