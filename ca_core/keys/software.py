"""Keys in encrypted files."""

import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ca_core.kernel.errors import ConfigurationError
from ca_core.kernel.rng import Rng, system_rng
from ca_core.keys.envelope import seal_private_key
from ca_core.keys.errors import KeyExists, KeyNotFound, KeyStoreFault
from ca_core.keys.model import (
    KeyAlgorithm,
    KeyStoreHealth,
    KeyStoreState,
    PrivateKey,
    key_algorithm_of,
    new_private_key,
    verify_label,
)

_MAX_FILE_BYTES = 65_536
_MIN_PASSPHRASE_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Loaded:
    fingerprint: tuple[int, int, int]
    key: PrivateKey


class SoftwareKeyStore:
    """One PKCS#8 file a key, `<label>.pem`, encrypted under a passphrase (scrypt, AES-256), readable by its owner only.

    A file appears whole or not at all, and is never replaced. Opened keys stay in memory as long as their file is
    what it was; there are as many as there are files.
    """

    def __init__(self, folder: Path, passphrase: bytes, *, rng: Rng = system_rng) -> None:
        if len(passphrase) < _MIN_PASSPHRASE_BYTES:
            raise ConfigurationError("the key store's passphrase is shorter than 8 octets")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._passphrase = passphrase
        self._rng = rng
        self._lock = threading.Lock()
        self._loaded: dict[str, _Loaded] = {}

    def generate(self, label: str, algorithm: KeyAlgorithm) -> PrivateKey:
        """Makes a key and its file, durably. Raises: KeyLabelRefused, KeyExists."""
        path = self._path(label)
        if path.exists():
            raise KeyExists(label)
        key = new_private_key(algorithm)
        self._publish(path, seal_private_key(key, self._passphrase, self._rng))
        return self.private_key(label)

    def private_key(self, label: str) -> PrivateKey:
        """The key of that label. Raises: KeyLabelRefused, KeyNotFound, KeyStoreFault."""
        path = self._path(label)
        with self._lock:
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError as error:
                self._loaded.pop(label, None)
                raise KeyNotFound(label) from error
            except OSError as error:
                raise KeyStoreFault(f"{label}: {error.strerror}") from error
            with open(descriptor, "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
                    raise KeyStoreFault(f"{label}: the file is open to others")
                fingerprint = (status.st_ino, status.st_mtime_ns, status.st_size)
                known = self._loaded.get(label)
                if known is not None and known.fingerprint == fingerprint:
                    return known.key
                key = self._open(label, file.read(_MAX_FILE_BYTES))
            self._loaded[label] = _Loaded(fingerprint, key)
            return key

    def health(self, *, probe: bool = False) -> KeyStoreHealth:
        """Ready as long as the folder can be read."""
        readable = os.access(self._folder, os.R_OK | os.X_OK)
        state = KeyStoreState.READY if readable else KeyStoreState.AWAY
        return KeyStoreHealth(state=state, for_s=0.0, detail="" if readable else "the folder cannot be read")

    def _path(self, label: str) -> Path:
        verify_label(label)
        return self._folder / f"{label}.pem"

    def _open(self, label: str, pem: bytes) -> PrivateKey:
        try:
            key = load_pem_private_key(pem, self._passphrase)
        except (ValueError, TypeError) as error:  # TypeError: the file is not encrypted
            raise KeyStoreFault(f"{label}: wrong passphrase, or not an encrypted PKCS#8 file") from error
        if not isinstance(key, PrivateKey):
            raise KeyStoreFault(f"{label}: neither RSA nor EC nor ML-DSA")
        key_algorithm_of(key)
        return key

    def _publish(self, path: Path, pem: bytes) -> None:
        """Writes a temporary file and links it under its name, which fails where the name is taken: no overwriting."""
        temporary = self._folder / f".{path.stem}.{self._rng(8).hex()}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        except FileExistsError as error:
            raise KeyExists(path.stem) from error
        finally:
            temporary.unlink()
        _sync_folder(self._folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
