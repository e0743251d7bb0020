"""Holders from a CSV file: one line a person, no line longer than a screenful, nothing of it ever shown again."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Transaction
from ca_core.migration import store
from ca_core.migration.errors import SourceRefused
from ca_core.migration.lines import read_lines
from ca_core.migration.model import Cursor, Outcome, Reason, Verdict, masked
from ca_core.migration.sources import digest_of
from ca_core.registration.errors import NationalIdMalformed, PersonMalformed
from ca_core.registration.imported import (
    HolderOutcome,
    HolderRegister,
    ImportedHolder,
    verify_born,
    verify_subject_serial_number,
)
from ca_core.registration.model import Gender, PersonDetails
from ca_core.registration.national_id import NationalId

REQUIRED = ("national_id", "name", "birthdate", "gender", "subject_serial_number")
OPTIONAL = ("card_number", "email", "phone")
_MAX_LINE = 4_096
_CARD_NUMBER = re.compile(r"[A-Z0-9]{1,32}")
_GENDERS = {"female": Gender.FEMALE, "male": Gender.MALE, "女": Gender.FEMALE, "男": Gender.MALE}
_OUTCOMES: dict[HolderOutcome, Outcome] = {
    HolderOutcome.ADDED: Verdict.ACCEPTED,
    HolderOutcome.KNOWN: Verdict.KNOWN,
    HolderOutcome.DIFFERS: Reason.PERSON_DIFFERS,
    HolderOutcome.TAKEN: Reason.SUBJECT_SERIAL_TAKEN,
}


@dataclass(frozen=True, slots=True)
class HolderItem:
    """A line's cells by column, or why it has none. Never shown: it holds a national ID."""

    place: str
    after: Cursor
    cells: "dict[str, str] | Reason"

    def __repr__(self) -> str:
        return f"HolderItem({self.place})"


class HolderSource:
    """UTF-8, with or without a mark; the first line names the columns: those of REQUIRED, and any of OPTIONAL."""

    def __init__(self, path: Path) -> None:
        """Raises: SourceRefused."""
        self._path = path
        self.name = masked(path.name)
        try:
            self.total = path.stat().st_size
            with path.open("rb") as file:
                first = next(read_lines(file, Cursor(), _MAX_LINE), None)
        except OSError as error:
            raise SourceRefused(f"{self.name}: {error.strerror}") from error
        cells = None if first is None or first.octets is None else _cells(first.octets.removeprefix(b"\xef\xbb\xbf"))
        if first is None or cells is None:
            raise SourceRefused(f"{self.name}: its first line is not the columns' names")
        self._columns = [cell.strip() for cell in cells]
        self._start = first.after
        unknown = set(self._columns) - {*REQUIRED, *OPTIONAL}
        if unknown or len(set(self._columns)) != len(self._columns) or not set(REQUIRED) <= set(self._columns):
            raise SourceRefused(f"{self.name}: columns are {', '.join(REQUIRED)}, and any of {', '.join(OPTIONAL)}")

    def digest(self) -> str:
        return digest_of(self._path)

    def items(self, start: Cursor) -> Iterator[HolderItem]:
        begin = self._start if start.offset == 0 else start
        with self._path.open("rb") as file:
            for line in read_lines(file, begin, _MAX_LINE):
                place = f"line {line.number}"
                if line.octets is None:
                    yield HolderItem(place, line.after, Reason.LINE_TOO_LONG)
                elif line.octets.strip():
                    yield HolderItem(place, line.after, self._named(line.octets))

    def _named(self, octets: bytes) -> dict[str, str] | Reason:
        cells = _cells(octets)
        if cells is None:
            return Reason.ENCODING
        if len(cells) != len(self._columns):
            return Reason.COLUMNS
        return dict(zip(self._columns, (cell.strip() for cell in cells), strict=True))


class HolderImporter:
    """Persons through registration's own sealing."""

    def __init__(self, register: HolderRegister, clock: Clock) -> None:
        self._register = register
        self._clock = clock

    def prepare(self, item: HolderItem) -> object:
        if isinstance(item.cells, Reason):
            return item.cells
        cells = item.cells
        try:
            national_id = NationalId.parse(cells["national_id"])
        except NationalIdMalformed:
            return Reason.NATIONAL_ID_MALFORMED
        try:
            verify_subject_serial_number(cells["subject_serial_number"])
        except PersonMalformed:
            return Reason.SUBJECT_SERIAL_MALFORMED
        card_number = cells.get("card_number") or None
        if card_number is not None and not _CARD_NUMBER.fullmatch(card_number):
            return Reason.CARD_NUMBER_MALFORMED
        try:
            details = PersonDetails(
                name=cells["name"],
                birthdate=date.fromisoformat(cells["birthdate"]),
                gender=_GENDERS[cells["gender"]],
                email=cells.get("email") or None,
                phone=cells.get("phone") or None,
            )
            verify_born(details, self._clock())
        except (ValueError, KeyError, PersonMalformed):
            return Reason.PERSON_MALFORMED
        return ImportedHolder(
            national_id=national_id,
            details=details,
            subject_serial_number=cells["subject_serial_number"],
            card_number=card_number,
        )

    def write(self, tx: Transaction, prepared: Sequence[object]) -> list[Outcome]:
        holders = [one for one in prepared if isinstance(one, ImportedHolder)]
        written = self._register.add_all(tx, holders, self._clock())
        store.set_cards(
            tx,
            {
                person_id: holder.card_number
                for holder, (outcome, person_id) in zip(holders, written, strict=True)
                if holder.card_number is not None and outcome in (HolderOutcome.ADDED, HolderOutcome.KNOWN)
            },
        )
        return [_OUTCOMES[outcome] for outcome, _ in written]


def _cells(octets: bytes) -> list[str] | None:
    """The cells of one line; None for what is not UTF-8 or not CSV."""
    try:
        rows = list(csv.reader([octets.decode("utf-8")], strict=True))
    except (UnicodeDecodeError, csv.Error):
        return None
    return rows[0] if len(rows) == 1 else None
