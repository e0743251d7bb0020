"""A deployment whose roles are processes of their own, on loopback, over one database, with a key store each."""

import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca_core.issuance.model import IssuanceRequest
from ca_core.kernel.clock import Clock, system_clock
from ca_core.kernel.database import Database, sqlite_url
from ca_core.kernel.settings import Role, load_settings
from ca_core.signer.client import Patience, SignerClient
from ca_core.signer.model import SIGNER_NAME, role_name
from ca_core.signer.tls import TlsFiles
from idp.commands.internal import InternalRole, write_internal_certificate
from idp.main.authority import CertificationAuthority
from idp.main.histories import HISTORIES
from support.pki import ceremony, certification_request, new_key
from support.processes import free_port, start, stop_group, wait_until

TESTS = Path(__file__).parents[1]
AUTHORITY = "citizen-g1"
ROLES = ("ca", "va", "admin", "worker", "idp")
CALLERS = {
    "va": {"operations": ["issue", "keys"]},
    "admin": {"operations": ["issue", "issue-many"]},
    "worker": {"operations": ["issue", "publish-due", "publish-crl", "recover", "keys"]},
}
SHORT = Patience(total_s=0.5)


@dataclass
class Deployment:
    """Made once; its processes come and go. own_database_url: with every table and no row; else a SQLite file is
    made. issues: what the authority issues besides what every test's does."""

    folder: Path
    own_database_url: str = ""
    issues: tuple[str, ...] = ()
    ports: dict[str, int] = field(default_factory=lambda: {role: free_port() for role in ROLES})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    clients: list[SignerClient] = field(default_factory=list)

    def found(self, sqlite_template: Path, *, internal: bool = True) -> None:
        """The database, the ceremony (500 days ago), internal certificates, one of them over, the roles' settings.

        internal: without their certificates, roles start and cannot reach `ca`."""
        if not self.own_database_url:
            shutil.copyfile(sqlite_template, self.folder / "database.db")
        database = Database.open(self.database_url)
        stamp(database)
        database.dispose()
        for name in ("national-id", "lookup", "pairwise", "csrf", "master", "passphrase"):
            self._secret(name)
        for role in ROLES:
            self.config(role).write_text(self._toml(role))
        past = system_clock() - timedelta(days=500)
        with self.opened("all", clock=lambda: past) as ca:
            ca.ceremonies.run(ceremony(also=self.issues), held_by="operator:ceremony")
        if not internal:
            self.tls.mkdir()
            for role in CALLERS:
                self._secret(f"tls/{role}-key.pem")
            with self.opened("all") as ca:
                root = ca.registry.by_slug("root-g1").certificate
            (self.folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
            return
        for role in InternalRole:
            with self.opened("all") as ca:
                write_internal_certificate(ca, role, self.tls, authority=AUTHORITY, actor="operator:ceremony")
        with self.opened("all", clock=lambda: past + timedelta(days=50)) as ca:
            write_internal_certificate(
                ca, InternalRole.WORKER, self.folder / "ended", authority=AUTHORITY, actor="operator:ceremony"
            )
        (self.folder / "root.pem").write_bytes((self.tls / "root.pem").read_bytes())

    @property
    def database_url(self) -> str:
        return self.own_database_url or sqlite_url(self.folder / "database.db")

    @property
    def tls(self) -> Path:
        return self.folder / "tls"

    @property
    def marker(self) -> Path:
        return self.folder / "die-at"

    def config(self, role: str) -> Path:
        return self.folder / f"{role}.toml"

    def files(self, role: str, folder: Path | None = None) -> TlsFiles:
        where = folder or self.tls
        return TlsFiles(certificate=where / f"{role}.pem", key=where / f"{role}-key.pem", trusted=self.tls / "root.pem")

    def url(self, role: str = "ca") -> str:
        return f"{'https' if role == 'ca' else 'http'}://localhost:{self.ports[role]}"

    def client(self, role: str, *, patience: Patience = SHORT, files: TlsFiles | None = None) -> SignerClient:
        made = SignerClient(self.url(), files or self.files(role), patience)
        self.clients.append(made)
        return made

    def close_clients(self) -> None:
        """Ends the connections of the test that is over."""
        while self.clients:
            self.clients.pop().close()

    def raw(self, role: str, **request: Any) -> httpx2.Response:  # noqa: ANN401 - httpx's own
        """One request to the port as it is, by that role."""
        context = ssl.create_default_context(cafile=self.tls / "root.pem")
        context.load_cert_chain(self.tls / f"{role}.pem", self.tls / f"{role}-key.pem")
        with httpx2.Client(base_url=self.url(), verify=context, trust_env=False, timeout=30) as client:
            return client.request(extensions={"sni_hostname": SIGNER_NAME}, **request)

    @contextmanager
    def opened(self, role: str, *, clock: Clock = system_clock) -> Iterator[CertificationAuthority]:
        """A role's services in this process. "all": with the signer's keys."""
        settings = load_settings(self.config("ca" if role == "all" else role), role=Role(role))
        ca = CertificationAuthority(settings, clock=clock)
        try:
            yield ca
        finally:
            ca.close()

    def start(self, role: str) -> subprocess.Popen[bytes]:
        """Starts a role and returns once it accepts connections."""
        log = self.folder / f"{role}.log"
        command = [sys.executable, "-m", "support.signer_child", self.config(role), role, self.marker]
        process = self.processes[role] = start(command, log=log, cwd=TESTS)
        wait_until(lambda: self._serves(role), what=f"role {role}", process=process, log=log, timeout_s=60)
        return process

    def stop(self, role: str) -> None:
        process = self.processes.pop(role, None)
        if process is not None:
            stop_group(process)

    def close(self) -> None:
        for role in list(self.processes):
            self.stop(role)

    def renewal(self, role: str, request_id: str, key: ec.EllipticCurvePrivateKey | None = None) -> IssuanceRequest:
        """A role's request for another internal certificate."""
        own = new_key() if key is None else key
        name = role_name(role)
        return IssuanceRequest(
            request_id=request_id,
            profile="internal-tls",
            authority=AUTHORITY,
            public_key=own.public_key(),
            common_name=name,
            dns_names=(name,),
            csr=certification_request(own),
            actor=f"system:{role}",
        )

    def _serves(self, role: str) -> bool:
        try:
            if role == "ca":
                return self.raw("worker", method="GET", url="/healthz").status_code == 200
            return httpx2.get(f"{self.url(role)}/healthz", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    def _secret(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            path.write_bytes(name.encode().ljust(32, b"."))
            path.chmod(0o600)
        return path

    def _toml(self, role: str) -> str:
        connection = {
            "url": self.url(),
            "certificate_file": str(self.tls / f"{role}.pem"),
            "key_file": str(self.tls / f"{role}-key.pem"),
            "trusted_root_file": str(self.tls / "root.pem"),
        }
        members: dict[str, Any] = {
            "issuer": self.url("idp"),
            "allow_http_localhost": True,
            "port": self.ports[role],
            "database_url": self.database_url,
            "pki_base_url": "http://pki.example.tw/pki",
            "card_authority": AUTHORITY,
            "log_level": "warning",
            "without_second_place": True,
        }
        if role not in ("admin", "worker"):
            keys = self.folder / f"keys-{role}"
            keys.mkdir(mode=0o700)
            members["keys"] = {
                "kind": "software",
                "folder": str(keys),
                "passphrase_file": str(self._secret("passphrase")),
            }
        if role == "ca":
            members["ca_port"] = {name: value for name, value in connection.items() if name != "url"} | {
                "client_authority": AUTHORITY,
                "clients": CALLERS,
            }
            members |= self._for_persons()  # for the role `all`, in which the tests found it
        if role in CALLERS:
            members["ca_connection"] = connection
        if role in ("admin", "idp"):
            members |= self._for_persons()
        return "".join(f"{name} = {_inline(value)}\n" for name, value in members.items())

    def _for_persons(self) -> dict[str, Any]:
        return {
            "national_id": {
                "keys": {"k1": str(self._secret("national-id"))},
                "current": "k1",
                "lookup_key_file": str(self._secret("lookup")),
            },
            "csrf_secret_file": str(self._secret("csrf")),
            "pairwise_secret_file": str(self._secret("pairwise")),
            "card_master_key_file": str(self._secret("master")),
            "login_authorities": [AUTHORITY],
            "trusted_root_files": [str(self.folder / "root.pem")],
        }


def stamp(database: Database) -> None:
    """Says of a database with every table that it is at this code's schema."""
    for history in HISTORIES:
        with database.engine.begin() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": history.version_table})
            context.stamp(ScriptDirectory(str(history.folder)), "head")


def foreign_files(deployment: Deployment, folder: Path) -> TlsFiles:
    """A worker's certificate with the very same names, by an authority that nobody here knows."""
    folder.mkdir()
    ours = x509.load_pem_x509_certificates((deployment.tls / "worker.pem").read_bytes())
    authority_key, key = new_key(), new_key()
    chain = []
    for one, public_key in ((ours[0], key.public_key()), (ours[1], authority_key.public_key())):
        builder = x509.CertificateBuilder(issuer_name=one.issuer, subject_name=one.subject, public_key=public_key)
        builder = builder.serial_number(one.serial_number).not_valid_before(one.not_valid_before_utc)
        builder = builder.not_valid_after(one.not_valid_after_utc)
        for extension in one.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        chain.append(builder.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    write_pair(folder, "worker", b"".join(chain), key)
    return deployment.files("worker", folder)


def write_pair(folder: Path, name: str, chain: bytes, key: Any) -> None:  # noqa: ANN401 - any private key
    (folder / f"{name}.pem").write_bytes(chain)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}-key.pem").write_bytes(private)


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_inline(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return json.dumps(value)
