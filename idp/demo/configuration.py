"""The demo's own deployment: secrets, key store and a settings file in one folder, each made once."""

import os
from dataclasses import dataclass
from pathlib import Path

from ca_core.kernel.rng import Rng, random_token

ROOT, ISSUING = "root-g1", "citizen-g1"
ROOT_FILE = "root-g1.pem"
"""The demo's trust anchor, written after its ceremony."""
_Value = str | int | bool | list[str]
_SECRETS = ("national-id", "national-id-lookup", "pairwise", "csrf", "card-master")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlaces:
    """Where the demo's parts listen.

    issuer: http://localhost:PORT or https://localhost:PORT. pki_base_url: goes into certificates; plain http, and by
    address, since linters refuse a host name of one label.
    """

    issuer: str
    port: int
    bridge_origin: str
    pki_base_url: str
    database_url: str


def write_configuration(folder: Path, places: DemoPlaces, rng: Rng) -> Path:
    """The settings file; secrets are made where they are missing, and never changed."""
    secrets = folder / "secrets"
    secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in _SECRETS:
        _write_once(secrets / name, rng(32))
    _write_once(secrets / "key-passphrase", random_token(rng).encode())
    (folder / "keys").mkdir(exist_ok=True, mode=0o700)
    members: dict[str, _Value] = {
        "issuer": places.issuer,
        "allow_http_localhost": places.issuer.startswith("http:"),
        "port": places.port,
        "database_url": places.database_url,
        "pairwise_secret_file": str(secrets / "pairwise"),
        "csrf_secret_file": str(secrets / "csrf"),
        "card_master_key_file": str(secrets / "card-master"),
        "login_authorities": [ISSUING],
        "trusted_root_files": [str(folder / ROOT_FILE)],
        "card_authority": ISSUING,
        "pki_base_url": places.pki_base_url,
        "bridge_origin": places.bridge_origin,
        "timestamp_authority": ISSUING,
        "second_place": str(folder / "second-place"),
        "log_level": "warning",
    }
    sections: dict[str, dict[str, _Value]] = {
        "keys": {
            "kind": "software",
            "folder": str(folder / "keys"),
            "passphrase_file": str(secrets / "key-passphrase"),
        },
        "national_id": {"current": "k1", "lookup_key_file": str(secrets / "national-id-lookup")},
        "national_id.keys": {"k1": str(secrets / "national-id")},
    }
    lines = ["# Written by `citizenid demo` at each start.", *(_line(*item) for item in members.items())]
    for name, section in sections.items():
        lines += ["", f"[{name}]", *(_line(*item) for item in section.items())]
    path = folder / "citizenid.toml"
    _replace(path, "\n".join(lines) + "\n")
    return path


def ceremony_text(publication_url: str) -> str:
    """The demo's ceremony: a root and one issuing authority, plainly no government's."""
    return f'''title = "Demo authorities, for trying out only"
location = "this machine"
publication_url = "{publication_url}"

[[participants]]
name = "citizenid demo"
role = "everybody"

[[authorities]]
slug = "{ROOT}"
profile = "root-ca"
issuer = "self"
key_algorithm = "p384"
issues = ["root-ca", "issuing-ca"]
subject = [
  {{ type = "C", value = "TW" }},
  {{ type = "O", value = "示範機關" }},
  {{ type = "CN", value = "Demo Root Certification Authority - G1" }},
]

[[authorities]]
slug = "{ISSUING}"
profile = "issuing-ca"
issuer = "{ROOT}"
key_algorithm = "p256"
issues = [
  "citizen-authentication",
  "citizen-signature",
  "citizen-encryption",
  "ocsp-responder",
  "internal-tls",
  "time-stamping",
]
subject = [
  {{ type = "C", value = "TW" }},
  {{ type = "O", value = "示範機關" }},
  {{ type = "OU", value = "示範憑證管理中心" }},
]
'''


def _line(name: str, value: _Value) -> str:
    if isinstance(value, bool):
        return f"{name} = {str(value).lower()}"
    if isinstance(value, list):
        return f"{name} = [{', '.join(_quoted(item) for item in value)}]"
    return f"{name} = {value if isinstance(value, int) else _quoted(value)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _write_once(path: Path, octets: bytes) -> None:
    if path.exists():
        return
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
    partial.rename(path)


def _replace(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
