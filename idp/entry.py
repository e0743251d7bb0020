"""What is installed as `citizenid`."""

import gc


def main() -> None:
    """Runs the command line. What it logs goes to stderr: stdout is the command's own.

    Its modules are loaded without garbage collection, which would find nothing in them and took a quarter of the time.
    """
    gc.disable()
    from ca_core.kernel.logs import configure_logs
    from idp.cli import app

    gc.enable()
    configure_logs("warning", human=True)
    app()
