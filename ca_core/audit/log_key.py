"""The log's signing key in an encrypted file."""

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ca_core.audit.note import ED25519, VerifierKey
from ca_core.kernel.errors import ConfigurationError, Unavailable
from ca_core.kernel.rng import Rng, system_rng
from ca_core.keys.envelope import seal_private_key

_MAX_FILE_BYTES = 65_536


class SoftwareLogKey:
    """An Ed25519 key. origin: the log's name, by which witnesses and verifiers know it; no spaces and no plus.

    memory: the file in which the last signed checkpoint is kept.
    """

    def __init__(self, origin: str, private_key: Ed25519PrivateKey, memory: Path) -> None:
        public_key = private_key.public_key().public_bytes_raw()
        self.verifier_key = VerifierKey(name=origin, kind=ED25519, public_key=public_key)
        self._private_key = private_key
        self._memory = memory

    def sign(self, octets: bytes) -> bytes:
        return self._private_key.sign(octets)

    def last_signed(self) -> bytes | None:
        try:
            return self._memory.read_bytes()
        except FileNotFoundError:
            return None

    def remember(self, note: bytes) -> None:
        temporary = self._memory.with_name(f".{self._memory.name}.{os.getpid()}.{threading.get_ident()}.new")
        try:
            _write(temporary, note)
            os.replace(temporary, self._memory)
            _sync_folder(self._memory.parent)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise Unavailable(f"the log key's memory: {error.strerror}") from error

    @classmethod
    def open(cls, path: Path, passphrase: bytes, origin: str, *, rng: Rng = system_rng) -> "SoftwareLogKey":
        """The key in the file, made there if there is none. Several processes may do so at once: one key remains.

        Raises: ConfigurationError, where it is open to others, of another kind, or under another passphrase.
        """
        if not path.exists():
            _make(path, passphrase, rng)
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
                raise ConfigurationError(f"{path}: the file is open to others")
            pem = file.read(_MAX_FILE_BYTES)
        try:
            key = load_pem_private_key(pem, passphrase)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{path}: wrong passphrase, or not an encrypted PKCS#8 file") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError(f"{path}: not an Ed25519 key")
        return cls(origin, key, _memory_of(path))


def last_remembered(path: Path) -> bytes | None:
    """The last note that the key in that file signed, as remembered beside it. The key itself is not opened."""
    try:
        return _memory_of(path).read_bytes()
    except FileNotFoundError:
        return None


def _memory_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.checkpoint")


def _make(path: Path, passphrase: bytes, rng: Rng) -> None:
    """Writes the file whole and durably, or leaves the one that another process made first."""
    key = Ed25519PrivateKey.generate()
    pem = seal_private_key(key, passphrase, rng)  # type: ignore[arg-type]  # it seals any key that PKCS#8 can hold
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{rng(8).hex()}.new")
    _write(temporary, pem)
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    _sync_folder(path.parent)


def _write(path: Path, octets: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
