"""Why a backup, a restore or the journal is refused."""

from ca_core.kernel.errors import DomainError


class BackupError(DomainError):
    code = "backup_error"


class JournalFault(BackupError):
    """The journal was altered or cut, is not this house's, or does not hold the place where a backup was taken."""

    code = "backup_journal_fault"


class JournalExists(BackupError):
    """The folder holds a journal, or something else, already; nothing was made."""

    code = "backup_journal_exists"


class BackupExists(BackupError):
    """The target of a backup exists already; nothing was overwritten."""

    code = "backup_exists"


class BackupDamaged(BackupError):
    """A file of the backup is missing, or is not the one that the manifest names."""

    code = "backup_damaged"


class BackupRefused(BackupError):
    """What is asked for cannot be backed up or restored this way. The detail says why."""

    code = "backup_refused"


class TargetNotEmpty(BackupError):
    """A restore goes into an empty target only; nothing was changed."""

    code = "backup_target_not_empty"


class RestoreUnfinished(BackupError):
    """The database was restored and the journal not yet replayed to its end: nothing may be served from it."""

    code = "backup_restore_unfinished"


class DatabaseBehind(BackupError):
    """The database was put back to an earlier state by other means than a restore: nothing may be served from it."""

    code = "backup_database_behind"


class DrillFailed(BackupError):
    """The restored copy is not what it must be. The detail lists what differs."""

    code = "backup_drill_failed"
