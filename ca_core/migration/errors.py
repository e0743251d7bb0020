"""Why an import is refused as a whole. What is refused of a file is no error but a line of its report."""

from ca_core.kernel.errors import DomainError


class MigrationError(DomainError):
    code = "migration_error"


class SourceRefused(MigrationError):
    """The file cannot be read, or is none of the kinds that are imported; nothing was written."""

    code = "migration_source_refused"


class AuthorityRefused(MigrationError):
    """Not a CA's certificate, or not issued by an authority that is here; nothing was written."""

    code = "migration_authority_refused"


class CrlRefused(MigrationError):
    """The list is not that authority's: by its key identifier or signature; or of a kind that is not imported."""

    code = "migration_crl_refused"


class ImportRunning(MigrationError):
    """Another process imports the same file; this one stopped, and nothing was done twice."""

    code = "migration_running"
