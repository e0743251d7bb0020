"""Structured logs: one JSON object a line on stderr, under the request id where there is one."""

import logging
import sys
from contextlib import suppress
from io import TextIOBase
from typing import TextIO, cast

import structlog


class _Stderr(TextIOBase):
    """The process's stderr, of which a line that cannot be written stops nothing: a full disk, a reader that left."""

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


def configure_logs(level: str = "info", *, human: bool = False) -> None:
    """Sets the process's logging up, once. human: for a terminal instead of JSON.

    What is logged is event names and internal ids; a secret, a PIN or a national ID never is.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(stream=sys.stderr, level=number, format="%(message)s")
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)
    for talkative in ("alembic", "httpx2", "httpcore2"):  # a line for every look at the schema, for every call
        logging.getLogger(talkative).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )
