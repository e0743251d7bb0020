"""What a backup says of itself, and the check that it is still true."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from ca_core.backup.errors import BackupDamaged
from ca_core.backup.model import Place

MANIFEST = "manifest.json"
_BLOCK = 1024 * 1024
_ADVICE = "use another, and take a new one by citizenid backup create"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """files: SHA-256 by path within the backup. place: where the journal was; None where there was no second place."""

    backup_id: str
    taken_at: datetime
    dialect: str
    files: Mapping[str, str]
    place: Place | None
    counts: Mapping[str, int]
    keys: str


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The last file of a backup, durable when this returns."""
    value = asdict(manifest) | {"version": 1, "taken_at": manifest.taken_at.isoformat()}
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())


def read_manifest(folder: Path) -> Manifest:
    """The manifest, every file that it names being what it was. Raises: BackupDamaged."""
    try:
        value = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        place = value["place"]
        manifest = Manifest(
            backup_id=str(value["backup_id"]),
            taken_at=datetime.fromisoformat(value["taken_at"]),
            dialect=str(value["dialect"]),
            files=dict(value["files"]),
            place=None if place is None else Place(**place),
            counts=dict(value["counts"]),
            keys=str(value["keys"]),
        )
    except FileNotFoundError as error:
        raise BackupDamaged(f"{folder}: no {MANIFEST}, so this backup was never finished: {_ADVICE}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupDamaged(f"{MANIFEST}: {type(error).__name__}: {_ADVICE}") from error
    for name, expected in manifest.files.items():
        path = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute() or not path.is_file():
            raise BackupDamaged(f"{name}: is missing: {_ADVICE}")
        if file_digest(path) != expected:
            raise BackupDamaged(f"{name}: is not what it was: {_ADVICE}")
    return manifest


def file_digest(path: Path) -> str:
    """SHA-256, 64 hexadecimal digits, in bounded memory."""
    state = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()
