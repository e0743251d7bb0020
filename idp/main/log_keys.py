"""The keys of the audit log's checkpoints: one for each name that the log has had, in files beside one another."""

from pathlib import Path

from ca_core.audit.checkpoint import Checkpoint, parse_checkpoint
from ca_core.audit.errors import LogClosed, LogOpen
from ca_core.audit.log_key import SoftwareLogKey, last_remembered
from ca_core.audit.note import VerifierKey, parse_note
from ca_core.audit.origins import FIRST, LogOrigins, current_origin, last_known, origin_name, verify_open
from ca_core.audit.publisher import CheckpointPublisher
from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.settings import Settings, SoftwareKeys, read_passphrase
from idp.main.authority import CertificationAuthority


def open_log_key(ca: CertificationAuthority) -> tuple[int, SoftwareLogKey]:
    """The number of the log that goes on, and the key that signs its checkpoints; the first log's is made if missing.

    Raises: LogClosed, after a restore; ConfigurationError.
    """
    first, (path, passphrase) = _first_origin(ca.settings), _key_file(ca.settings)
    with ca.database.read() as tx:
        number = current_origin(tx).number
        verify_open(tx, number, origin_name(first, number))
    key_file = numbered_file(path, number)
    if number != FIRST and not key_file.exists():
        raise ConfigurationError(f"{key_file}: is missing: the key of the audit log {origin_name(first, number)}")
    return number, SoftwareLogKey.open(key_file, passphrase, origin_name(first, number), rng=ca.rng)


def signed_size(ca: CertificationAuthority) -> int | None:
    """Entries of the largest tree that the key of the log that goes on has signed, as remembered beside it. None where
    this role has no such key, it signed nothing, or the log is closed."""
    path = _key_path(ca.settings)
    with ca.database.read() as tx:
        origin = current_origin(tx)
    if path is None or origin.is_closed:
        return None
    remembered = last_remembered(numbered_file(path, origin.number))
    return None if remembered is None else parse_checkpoint(parse_note(remembered).text).size


def begin_log(ca: CertificationAuthority, actor: str) -> VerifierKey:
    """Begins the next log after a restore closed the last; returns its public key.

    A number whose key file is there was begun once, even where the database does not know of it any more: it is left
    out. Raises: LogOpen, NoteRefused, ConfigurationError, SecondPlaceUnavailable.
    """
    first, (path, passphrase) = _first_origin(ca.settings), _key_file(ca.settings)
    with ca.database.read() as tx:
        old = current_origin(tx)
    if not old.is_closed:
        raise LogOpen("only a restore ends a log, and none ended since the last was begun")
    old_name = origin_name(first, old.number)
    last = last_known(ca.database, old_name, last_remembered(numbered_file(path, old.number)))
    number = old.number + 1
    while numbered_file(path, number).exists():
        number += 1
    key = SoftwareLogKey.open(numbered_file(path, number), passphrase, origin_name(first, number), rng=ca.rng)
    origins = LogOrigins(ca.database, ca.audit, ca.clock, ca.second_place)
    origins.begin(number, key.verifier_key, old_origin=old_name, last=last, actor=actor)
    return key.verifier_key


class LogFollower:
    """Publishes checkpoints of whichever log goes on: a log that is begun while this runs is taken up.

    A closed log does not keep a process from starting: publishing fails, and says so, until another is begun.
    """

    def __init__(self, ca: CertificationAuthority) -> None:
        self._ca = ca
        self._publisher: CheckpointPublisher | None = None
        try:
            self._publisher = self._open()
        except LogClosed:
            pass

    def publish_due(self) -> Checkpoint | None:
        """As `CheckpointPublisher.publish_due`. Raises: LogClosed; as that."""
        if self._publisher is None:
            self._publisher = self._open()
        try:
            return self._publisher.publish_due()
        except LogClosed:
            self._publisher = None
            raise

    def _open(self) -> CheckpointPublisher:
        number, key = open_log_key(self._ca)
        return CheckpointPublisher(self._ca.database, key, self._ca.clock, number=number)


def numbered_file(path: Path, number: int) -> Path:
    """The key's file of a log. path: of the first."""
    return path if number == FIRST else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _first_origin(settings: Settings) -> str:
    """The place where checkpoints are served."""
    if settings.pki_base_url is None:
        raise ConfigurationError("pki_base_url: is missing")
    return settings.pki_base_url.partition("://")[2] + "/log"


def _key_file(settings: Settings) -> tuple[Path, bytes]:
    """The first log's key, and the passphrase of all of them."""
    keys = settings.keys
    if keys is None:
        raise ConfigurationError("keys: is missing")
    path = _key_path(settings)
    secret = keys.passphrase_file if isinstance(keys, SoftwareKeys) else keys.pin_file
    if path is None:
        raise ConfigurationError("audit_log_key_file: is missing, and keys in a token need it")
    return path, read_passphrase(secret)


def _key_path(settings: Settings) -> Path | None:
    if settings.audit_log_key_file is None and isinstance(settings.keys, SoftwareKeys):
        return settings.keys.folder / "audit-log.pem"
    return settings.audit_log_key_file
