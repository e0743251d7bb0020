"""Why a bench has no figure."""

from ca_core.kernel.errors import DomainError


class BenchFailed(DomainError):
    """A server did not start or answered something else than what was asked. A figure of failures is no figure."""

    code = "bench_failed"
