"""What a process is told from outside: a TOML file, over it environment variables CITIZENID_*.

Secrets come as paths of files, never as values. Unknown names are refused. All faults are reported at once.
Inner members are written with two underscores in the environment: CITIZENID_KEYS__KIND (docs/adr/0003).
"""

import os
import re
import tomllib
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from ca_core.kernel.errors import ConfigurationError

PREFIX: Final = "CITIZENID_"
CONFIG_VARIABLE: Final = "CITIZENID_CONFIG"
MAX_SECRET_BYTES: Final = 65_536
_OTHERS: Final = 0o007
_HOST = r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])"
_ORIGIN = re.compile(rf"https?://{_HOST}(?::[1-9][0-9]{{0,4}})?")
_URL = re.compile(rf"https?://{_HOST}(?::[1-9][0-9]{{0,4}})?(?:/[A-Za-z0-9._~-]+)*")
_LOOPBACK = re.compile(r"http://(?:127\.0\.0\.1|localhost|\[::1\]):[1-9][0-9]{0,4}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


class Role(StrEnum):
    """What a process serves; `all` is everything in one process, the embedded default."""

    ALL = "all"
    IDP = "idp"
    MOBILE = "mobile"
    VA = "va"
    ADMIN = "admin"
    CA = "ca"
    WORKER = "worker"


_WITH_PERSONS: Final = frozenset({Role.ALL, Role.IDP, Role.MOBILE, Role.ADMIN})
NEEDED_BY: Final = MappingProxyType(
    {
        "keys": frozenset({Role.ALL, Role.IDP, Role.VA, Role.CA}),
        "national_id": _WITH_PERSONS,
        "csrf_secret_file": _WITH_PERSONS,
        "pairwise_secret_file": frozenset({Role.ALL, Role.IDP}),
        "card_master_key_file": frozenset({Role.ALL, Role.ADMIN}),
        "login_authorities": frozenset({Role.ALL, Role.IDP, Role.MOBILE}),
        "trusted_root_files": frozenset({Role.ALL, Role.IDP, Role.MOBILE}),
        "ca_port": frozenset({Role.CA}),
        "ca_connection": frozenset({Role.VA, Role.ADMIN, Role.WORKER}),
    }
)
"""Members that some roles cannot start without."""
WITH_SECOND_PLACE: Final = frozenset({Role.ALL, Role.CA, Role.ADMIN, Role.MOBILE})
"""Roles that sign or revoke: they say where that is durable a second time, or that it is nowhere."""


def read_secret(path: Path, *, min_octets: int = 32) -> bytes:
    """All octets of a secret file, such as `openssl rand 32` writes. Raises: ConfigurationError, naming the file."""
    try:
        octets = _secret_file(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if len(octets) < min_octets:
        raise ConfigurationError(f"{path}: is shorter than {min_octets} octets")
    return octets


def read_passphrase(path: Path) -> bytes:
    """A passphrase, password or PIN: the file without the line end after it. Raises: ConfigurationError."""
    passphrase = read_secret(path, min_octets=1).rstrip(b"\r\n")
    if not passphrase:
        raise ConfigurationError(f"{path}: holds nothing but line ends")
    return passphrase


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _secret_file(path: Path) -> Path:
    """The file, if it is there, can be read, and cannot be by others (its group may, as in mounted secrets)."""
    _absolute(path)
    if not path.is_file():
        raise ValueError("no such file")
    status = path.stat()
    if os.name == "posix" and status.st_mode & _OTHERS:
        raise ValueError("others may read or write it")
    if not os.access(path, os.R_OK):
        raise ValueError("cannot be read")
    if not 0 < status.st_size <= MAX_SECRET_BYTES:
        raise ValueError(f"is empty or larger than {MAX_SECRET_BYTES} octets")
    return path


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError("must be 1-64 of a-z, 0-9 and hyphens")
    return text


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
SecretFile = Annotated[Path, AfterValidator(_secret_file)]
Label = Annotated[str, AfterValidator(_label)]
AbsolutePaths = Annotated[tuple[AbsolutePath, ...], NoDecode, BeforeValidator(_split)]
Labels = Annotated[tuple[Label, ...], NoDecode, BeforeValidator(_split)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SoftwareKeys(_Section):
    """Private keys in encrypted files."""

    kind: Literal["software"]
    folder: AbsolutePath
    passphrase_file: SecretFile


class Pkcs11Keys(_Section):
    """Private keys in an HSM."""

    kind: Literal["pkcs11"]
    module: AbsolutePath
    token_label: str = Field(min_length=1, max_length=32)
    pin_file: SecretFile


class NationalIdSettings(_Section):
    """keys: files of 32 octets by key id. current: the id of the one that new national IDs are encrypted with."""

    keys: dict[str, SecretFile] = Field(min_length=1)
    current: str
    lookup_key_file: SecretFile

    @model_validator(mode="after")
    def _current_is_there(self) -> "NationalIdSettings":
        if self.current not in self.keys:
            raise ValueError("current names none of the keys")
        return self


class CaConnection(_Section):
    """How a role reaches the `ca` role, and proves which it is.

    The files are there once `citizenid ca internal-certificate` has made them: they are checked when they are used.
    trusted_root_file: PEM, above internal certificates.
    """

    url: str = Field(pattern=rf"^https://{_HOST}(?::[1-9][0-9]{{0,4}})?$")
    certificate_file: AbsolutePath
    """This role's certificate, then its issuer's, PEM."""
    key_file: AbsolutePath
    trusted_root_file: AbsolutePath


class CaClient(_Section):
    """What a role may ask of `ca`. key_pins: SHA-256 (hexadecimal) of the public keys that it must use; none, any."""

    operations: Annotated[Labels, Field(min_length=1)]
    key_pins: tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...] = ()


class CaPort(_Section):
    """Where the role `ca` is asked. clients: the allow-list; a role that is not in it is refused."""

    certificate_file: AbsolutePath
    key_file: AbsolutePath
    trusted_root_file: AbsolutePath
    client_authority: Label
    """Slug of the issuing CA whose internal certificates are roles'."""
    clients: dict[Literal["va", "admin", "mobile", "worker"], CaClient] = Field(min_length=1)


class Settings(BaseSettings):
    """Checked settings; one that exists can be used. Made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    role: Role = Role.ALL
    allow_http_localhost: bool = False
    """Dangerous: accepts an issuer of http://localhost. For the demo."""
    issuer: str
    """The OpenID issuer identifier: the provider's own origin."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    max_connections: int = Field(default=4_096, ge=1, le=1_000_000)
    """Open HTTP connections of one process; further ones are closed unread. Never more than the process may open of
    files, less 128."""
    max_connections_per_address: int | None = Field(default=None, ge=1, le=1_000_000)
    """Likewise of one peer's address. Not behind a proxy, and with care where many share an address."""
    database_url: str = Field(repr=False)
    """`sqlite:////absolute/path.db` or `postgresql+psycopg://user@host/name`."""
    database_password_file: SecretFile | None = None
    database_pool_size: int = Field(default=10, ge=1, le=1_000)
    keys: Annotated[SoftwareKeys | Pkcs11Keys, Field(discriminator="kind")] | None = None
    second_place: AbsolutePath | None = None
    """A folder on another volume or host, made by `citizenid backup found`: what is revoked and issued is durable there
    before it is acknowledged."""
    without_second_place: bool = False
    """Dangerous: a restore then un-revokes what was revoked after the backup."""
    audit_log_key_file: AbsolutePath | None = None
    """The key that signs the audit log's checkpoints, under the key store's passphrase or PIN; made if it is missing.
    Default: beside software keys."""
    timestamp_authority: Label | None = None
    """Slug of the issuing CA that certifies the time-stamping unit. Without it no time stamps are given."""
    statement_key_label: Label = "statement"
    national_id: NationalIdSettings | None = None
    pairwise_secret_file: SecretFile | None = None
    csrf_secret_file: SecretFile | None = None
    card_master_key_file: SecretFile | None = None
    """What each new card's management key is derived from."""
    login_authorities: Labels = ()
    """Slugs of the issuing CAs whose citizen certificates may log in. Empty: nobody's."""
    trusted_root_files: AbsolutePaths = ()
    """PEM files of the root certificates that every login's path must end at: what no row of the database can add."""
    card_authority: Label | None = None
    """Slug of the issuing CA for new cards."""
    ca_port: CaPort | None = None
    ca_connection: CaConnection | None = None
    pki_base_url: str | None = None
    """Where CRLs, OCSP and CA certificates are served; goes into certificates. Default: the issuer's /pki."""
    bridge_origin: str = "http://127.0.0.1:61161"
    """Where login pages find the card bridge on the citizen's PC."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: `load_settings` gathers the rest, so that no fault hides another."""
        return (init_settings,)

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, value: str, info: ValidationInfo) -> str:
        if not _ORIGIN.fullmatch(value) or len(value) > 255 or _has_default_port(value):
            raise ValueError("must be an origin, without path and default port")
        parts = urlsplit(value)
        if parts.scheme == "http" and not (parts.hostname == "localhost" and info.data.get("allow_http_localhost")):
            raise ValueError("must be https (http://localhost only with allow_http_localhost)")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value.startswith("sqlite:////"):
            return value
        if parts.scheme != "postgresql+psycopg" or not parts.path.strip("/"):
            raise ValueError("must be sqlite:////absolute/path or postgresql+psycopg://user@host/name")
        if "password=" in parts.query:
            raise ValueError("must not hold a password in its query: use database_password_file")
        return value

    @field_validator("pki_base_url")
    @classmethod
    def _pki_base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return f"{info.data['issuer']}/pki" if "issuer" in info.data else None
        if not _URL.fullmatch(value):
            raise ValueError("must be an http or https URL without a slash at its end")
        return value

    @field_validator("bridge_origin")
    @classmethod
    def _bridge_origin(cls, value: str) -> str:
        if not _LOOPBACK.fullmatch(value):
            raise ValueError("must be http on the loopback, with a port")
        return value

    @field_validator("without_second_place")
    @classmethod
    def _second_place_or_none(cls, value: bool, info: ValidationInfo) -> bool:
        """What is absent does not mean "none"."""
        named = info.data.get("second_place") is not None
        if value and named:
            raise ValueError("contradicts second_place")
        if not value and not named and info.data.get("role") in WITH_SECOND_PLACE:
            raise ValueError("name a folder in second_place, or set this dangerous switch")
        return value

    @field_validator(*NEEDED_BY)
    @classmethod
    def _needed_by_role(cls, value: object, info: ValidationInfo) -> object:
        role = info.data.get("role")
        if value in (None, ()) and role in NEEDED_BY[str(info.field_name)]:
            raise ValueError(f"is missing, and the role {role} needs it")
        return value

    def database_dsn(self) -> str:
        """What `Database.open` takes: the URL, with the file's password where there is one. Never to be logged."""
        if self.database_password_file is None:
            return self.database_url
        scheme, _, rest = self.database_url.partition("://")
        credentials, at, host = rest.rpartition("@")
        password = quote(read_passphrase(self.database_password_file).decode("utf-8"), safe="")
        return f"{scheme}://{credentials.partition(':')[0]}:{password}@{host}" if at else self.database_url

    def redacted(self) -> dict[str, object]:
        """Every member, safe to print: of secrets there are only paths, and a password in a URL is masked."""
        shown = self.model_dump(mode="json")
        parts = urlsplit(self.database_url)
        if parts.password is not None:
            shown["database_url"] = self.database_url.replace(f":{parts.password}@", ":***@", 1)
        return shown


def load_settings(config_file: Path | None = None, **members: object) -> Settings:
    """The settings from members given here, over the environment, over the TOML file.

    config_file: else the one that CITIZENID_CONFIG names, else none.
    Raises: ConfigurationError, one fault a line, each with the member's name and never with its value.
    """
    faults: list[str] = []
    values = _merged(_merged(_from_file(config_file, faults), _from_environment(faults)), members)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise ConfigurationError("\n".join([*faults, *_faults(error)])) from error
    if faults:
        raise ConfigurationError("\n".join(faults))
    return settings


def _from_file(config_file: Path | None, faults: list[str]) -> dict[str, Any]:
    path = config_file or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        faults.append(f"{path}: {error}")
        return {}


def _from_environment(faults: list[str]) -> dict[str, Any]:
    known = {name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        member = name.upper().removeprefix(PREFIX).partition("__")[0]
        if name.upper().startswith(PREFIX) and member not in known and name != CONFIG_VARIABLE:
            faults.append(f"{name}: is not a setting")
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:
        faults.append(f"environment: {error}")
        return {}


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Members of `above` win; sections are merged member by member."""
    merged = dict(below)
    for name, value in above.items():
        earlier = merged.get(name)
        merged[name] = _merged(earlier, value) if isinstance(earlier, dict) and isinstance(value, dict) else value
    return merged


def _faults(error: ValidationError) -> list[str]:
    found = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(str(part) for part in fault["loc"]) or "settings"
        message = {"missing": "is missing", "extra_forbidden": "is not a setting"}.get(fault["type"], fault["msg"])
        found.append(f"{name}: {message.removeprefix('Value error, ')}")
    return found


def _has_default_port(url: str) -> bool:
    parts = urlsplit(url)
    return (parts.scheme, parts.port) in {("https", 443), ("http", 80)}
