"""What every command of the command line shares: language, errors, common options."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from card_bridge.errors import BridgeError
from card_bridge.messages.catalogue import Catalogues, Translator, choose_language
from card_bridge.piv.errors import CardError
from card_bridge.settings import terminal_language

DataOption = Annotated[
    Path | None, typer.Option("--data", help="Settings folder: bridge.toml, providers.json.", show_default=False)
]
LangOption = Annotated[str, typer.Option("--lang", help="zh-TW or en; by default as the terminal.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="One line of JSON for scripts.")]


def translator(lang: str) -> Translator:
    """Texts in the language asked for, else the terminal's; what the terminal cannot show becomes `?`."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    return Catalogues.load().translator(choose_language(lang, terminal_language()))


def forbid_core_dumps() -> None:
    """A crash of this process, which holds a PIN for a moment, leaves no image of its memory."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextmanager
def failures(translate: Translator) -> Iterator[None]:
    """Errors of ours become exit status 1: `code: text`, tries left and detail on stderr."""
    try:
        yield
    except (BridgeError, CardError) as error:
        print(f"{error.code}: {translate(f'error.{error.code}')}", file=sys.stderr)
        tries_left = getattr(error, "tries_left", None)
        if tries_left is not None:
            print(translate("error.tries_left", tries=tries_left), file=sys.stderr)
        if error.detail and error.detail != error.code:
            print(error.detail, file=sys.stderr)
        raise typer.Exit(1) from error
