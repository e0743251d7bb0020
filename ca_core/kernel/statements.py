"""SQLAlchemy Core statements, compiled once for each database."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
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

    __slots__ = ("_count", "_defaults", "_getters", "_results", "is_read", "sql")

    def __init__(self, core: ClauseElement, dialect: Dialect) -> None:
        compiled = core.compile(dialect=dialect)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError("not a SQL statement")
        self.sql = str(compiled)
        self.is_read = isinstance(core, Select) and core._for_update_arg is None
        self._getters: list[tuple[str, Callable[[Any], Any] | None]] = []
        self._defaults: dict[str, Any] = {}
        for name in compiled.positiontup or ():
            bind = compiled.binds[name]
            processor = bind.type.dialect_impl(dialect).bind_processor(dialect)
            self._getters.append((name, processor))
            if not bind.required:
                self._defaults[name] = bind.effective_value
        self._count = len({name for name, _ in self._getters})
        columns = getattr(core, "exported_columns", ())
        self._results: list[tuple[int, Callable[[Any], Any]]] = []
        for index, column in enumerate(columns):
            processor = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if processor is not None:
                self._results.append((index, processor))

    def values(self, params: Mapping[str, Any]) -> list[Any]:
        """The positional parameters. A missing one is a KeyError, an unknown one a TypeError."""
        given = {**self._defaults, **params} if self._defaults else params
        out = [given[name] if processor is None else processor(given[name]) for name, processor in self._getters]
        if len(given) != self._count:
            unknown = sorted(set(given) - {name for name, _ in self._getters})
            raise TypeError(f"no such parameter: {', '.join(unknown)}")
        return out

    def row(self, raw: Sequence[Any]) -> Row:
        if not self._results:
            return tuple(raw)
        cells = list(raw)
        for index, processor in self._results:
            cells[index] = processor(cells[index])
        return tuple(cells)
