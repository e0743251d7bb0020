"""A SoftHSM2 token of the tests' own."""

import os
from dataclasses import dataclass
from pathlib import Path

from support.processes import ComponentMissing, required_program, run

_MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftHsm:
    """What `Pkcs11KeyStore` takes. One token for the whole run: a test gives its keys labels of their own."""

    module: Path
    configuration: Path
    token_label: str
    pin: str
    so_pin: str


def module_path() -> Path:
    """The PKCS#11 module."""
    for module in _MODULES:
        if module.exists():
            return module
    raise ComponentMissing("SoftHSM2's module is not installed; run `make setup`")


def initialise(folder: Path, *, token_label: str = "citizenid-test") -> SoftHsm:
    """Makes a token in a folder and points this process at it: before the module is loaded for the first time."""
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    hsm = SoftHsm(
        module=module_path(), configuration=configuration, token_label=token_label, pin="246810", so_pin="135791"
    )
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    pins = ["--pin", hsm.pin, "--so-pin", hsm.so_pin]
    run([required_program("softhsm2-util"), "--init-token", "--free", "--label", token_label, *pins])
    return hsm
