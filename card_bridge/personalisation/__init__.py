"""A blank card becomes a citizen's: keys made on it, certificates written and read back.

`run_personalise(*, stdin: BinaryIO, stdout: BinaryIO, reader: str | None = None, pkcs11_module: Path | None = None,
readers: PivReaders | None = None, patience_s: float = 10) -> int` speaks JSON lines until `stdin` ends; the exit status
is 0 or 1.
"""

from card_bridge.personalisation.run import run_personalise

__all__ = ["run_personalise"]
