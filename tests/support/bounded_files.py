"""A volume that is full, for files that this process and its children write."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def files_bounded(size: int) -> Iterator[None]:
    """Every write beyond that many octets of a file fails, as on a full volume; what fits is written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
