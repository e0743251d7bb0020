"""What is installed as `citizenid`."""

import gc


def main() -> None:
    """Runs the command line. What it logs goes to stderr: stdout is the command's own.

    Its modules are loaded without garbage collection, which would find nothing in them and took a quarter of the time;
    nor are they looked through again later (a tenth of the CPU of a batch of certificates).
    """
    gc.disable()
    from ca_core.kernel.logs import configure_logs
    from idp.cli import app

    gc.freeze()
    gc.enable()
    configure_logs("warning", human=True)
    app()
