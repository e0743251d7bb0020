"""What can be missing."""

from ca_core.kernel.errors import DomainError


class RecordMissing(DomainError):
    """A login refers to a person or certificate that the records do not have: a fault of ours, never of the caller."""

    code = "record_missing"
