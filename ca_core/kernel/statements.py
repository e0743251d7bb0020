"""SQLAlchemy Core statements, compiled once for each database."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, Select
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeDecorator

Row = tuple[Any, ...]
Told = Callable[[Exception], Exception]
"""What an exception is raised as."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key; on SQLite the rowid, so that it can autoincrement."""


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as microseconds since 1970 in a 64-bit integer: the same on every database."""

    impl = BigInteger
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], int | None]:
        return _to_microseconds

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[int | None], datetime | None]:
        return _from_microseconds


def _to_microseconds(value: datetime | None) -> int | None:
    return None if value is None else (value - _EPOCH) // _MICROSECOND


def _from_microseconds(value: int | None) -> datetime | None:
    return None if value is None else _EPOCH + timedelta(microseconds=value)


class Statement:
    """A Core statement, compiled once for each dialect. Make these module constants."""

    __slots__ = ("_core", "_prepared")

    def __init__(self, core: ClauseElement) -> None:
        self._core = core
        self._prepared: dict[str, Prepared] = {}

    def prepared(self, dialect: Dialect) -> "Prepared":
        """The compiled form for this dialect, made at the first call."""
        found = self._prepared.get(dialect.name)
        if found is None:
            found = self._prepared[dialect.name] = Prepared(self._core, dialect)
        return found


class Prepared:
    """A statement in one dialect. is_read: it neither writes nor locks."""

    __slots__ = ("_binds", "_count", "_defaults", "_names", "_pick", "_results", "is_read", "sql")

    def __init__(self, core: ClauseElement, dialect: Dialect) -> None:
        compiled = core.compile(dialect=dialect)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError("not a SQL statement")
        self.sql = str(compiled)
        self.is_read = isinstance(core, Select) and core._for_update_arg is None
        self._names = list(compiled.positiontup or ())
        self._pick = itemgetter(*self._names) if len(self._names) > 1 else None
        self._binds: list[tuple[int, Callable[[Any], Any]]] = []
        self._defaults: dict[str, Any] = {}
        for index, name in enumerate(self._names):
            bind = compiled.binds[name]
            processor = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if processor is not None:
                self._binds.append((index, processor))
            if not bind.required:
                self._defaults[name] = bind.effective_value
        self._count = len(set(self._names))
        columns = getattr(core, "exported_columns", ())
        self._results: list[tuple[int, Callable[[Any], Any]]] = []
        for index, column in enumerate(columns):
            processor = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if processor is not None:
                self._results.append((index, processor))

    def values(self, params: Mapping[str, Any]) -> list[Any]:
        """The positional parameters. A missing one is a KeyError, an unknown one a TypeError."""
        given = {**self._defaults, **params} if self._defaults else params
        out = [given[name] for name in self._names] if self._pick is None else list(self._pick(given))
        for index, processor in self._binds:
            out[index] = processor(out[index])
        if len(given) != self._count:
            unknown = sorted(set(given) - set(self._names))
            raise TypeError(f"no such parameter: {', '.join(unknown)}")
        return out

    def row(self, raw: Sequence[Any]) -> Row:
        if not self._results:
            return tuple(raw)
        cells = list(raw)
        for index, processor in self._results:
            cells[index] = processor(cells[index])
        return tuple(cells)
