"""The bridge's data folder: `bridge.toml` (all members optional) and `providers.json`."""

import os
import stat
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from card_bridge.errors import ConfigurationError
from card_bridge.operations.model import Policy
from card_bridge.statement.providers import Providers, parse_providers

SETTINGS_FILE = "bridge.toml"
PROVIDERS_FILE = "providers.json"
DEFAULT_PORT = 61161
MAX_FILE_OCTETS = 1_000_000


class BridgeSettings(BaseModel):
    """bridge.toml. An unknown member is an error.

    port: 0 takes a free one. reader: use this reader alone. pcsc_socket: the socket of a PC/SC service of one's own.
    module: a PKCS#11 module to reach cards through, instead of PC/SC. softhsm2_conf: SoftHSM's own settings, if it is
    the module.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    port: Annotated[int, Field(ge=0, le=65535)] = DEFAULT_PORT
    reader: Annotated[str, Field(min_length=1)] | None = None
    pcsc_socket: Annotated[str, Field(min_length=1)] | None = None
    module: Annotated[str, Field(min_length=1)] | None = None
    softhsm2_conf: Annotated[str, Field(min_length=1)] | None = None
    timeout_s: Annotated[float, Field(ge=10, le=600)] = 120.0
    minimum_interval_s: Annotated[float, Field(ge=0, le=60)] = 1.0

    def policy(self) -> Policy:
        return Policy(timeout_s=self.timeout_s, minimum_interval_s=self.minimum_interval_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeData:
    """A data folder that was read without a fault."""

    folder: Path
    settings: BridgeSettings
    providers: Providers


def default_folder() -> Path:
    """Where the installer puts the settings of this computer's user."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", str(Path.home()))) / "CardBridge"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "CardBridge"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "card-bridge"


def read_data(folder: Path) -> BridgeData:
    """Both files. Raises: ConfigurationError with every fault of both, one a line.

    providers.json must be there: without it every origin would pass for one that no provider owns.
    """
    faults: list[str] = []
    settings, providers = BridgeSettings(), Providers(())
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: there is no such folder")
    try:
        settings = _read_settings(folder / SETTINGS_FILE)
    except ConfigurationError as error:
        faults.append(error.detail)
    try:
        providers = parse_providers(_read_file(folder / PROVIDERS_FILE))
    except ConfigurationError as error:
        faults.append(error.detail)
    if faults:
        raise ConfigurationError("\n".join(faults))
    return BridgeData(folder=folder, settings=settings, providers=providers)


def read_settings(folder: Path) -> BridgeSettings:
    """bridge.toml alone, for what needs no provider. Raises: ConfigurationError."""
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: there is no such folder")
    return _read_settings(folder / SETTINGS_FILE)


def prepare_libraries(settings: BridgeSettings) -> None:
    """Tells the libraries below us what bridge.toml says of them. Only of effect before they are loaded."""
    if settings.pcsc_socket is not None:
        os.environ["PCSCLITE_CSOCK_NAME"] = settings.pcsc_socket
    if settings.softhsm2_conf is not None:
        os.environ["SOFTHSM2_CONF"] = settings.softhsm2_conf


def terminal_language() -> str:
    """The language that this process's environment asks for, as a locale name."""
    return os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""


def _read_settings(path: Path) -> BridgeSettings:
    if not path.exists():
        return BridgeSettings()
    try:
        return BridgeSettings.model_validate(tomllib.loads(_read_file(path).decode("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{SETTINGS_FILE}: not TOML ({error})") from error
    except ValidationError as error:
        raise ConfigurationError(
            "\n".join(
                f"{SETTINGS_FILE}: {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
        ) from error


def _read_file(path: Path) -> bytes:
    """A file that others cannot write: whoever writes providers.json decides what the card signs."""
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
                raise ConfigurationError(f"{path.name}: everyone may write it (chmod o-w)")
            octets = file.read(MAX_FILE_OCTETS + 1)
    except OSError as error:
        raise ConfigurationError(f"{path.name}: cannot be read ({error.strerror})") from error
    if len(octets) > MAX_FILE_OCTETS:
        raise ConfigurationError(f"{path.name}: too large")
    return octets
