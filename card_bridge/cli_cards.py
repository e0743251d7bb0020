"""The command line's commands for making cards and for cards that are virtual."""

import json
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from card_bridge.errors import BridgeError
from card_bridge.settings import prepare_libraries, read_settings
from card_bridge.terminal import JsonOption, LangOption, failures, forbid_core_dumps, translator

FolderOption = Annotated[Path, typer.Option("--data", help="Folder that keeps it; made if missing.")]


class VirtualReaderUnavailable(BridgeError):
    code = "virtual_reader_unavailable"


class VirtualCardInUse(BridgeError):
    code = "card_folder_in_use"


class VirtualCardUnreadable(BridgeError):
    code = "card_folder_unreadable"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("virtual-card")(virtual_card)
    app.command("virtual-reader")(virtual_reader)
    app.command("personalise")(personalise)


def virtual_card(
    data: FolderOption,
    reader: Annotated[int, typer.Option(min=0, help="Which of vpcd's readers, counted from 0.")] = 0,
    port: Annotated[
        int | None, typer.Option(help="The reader's port, instead of its number.", show_default=False)
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="A new card has no vendor's extensions.")] = False,
    removed: Annotated[bool, typer.Option("--removed", help="Start with the card outside the reader.")] = False,
    as_json: JsonOption = False,
    lang: LangOption = "",
) -> None:
    """A virtual card in a virtual reader, until it is ended."""
    from card_bridge.virtual import CardFolderInUse, CardFolderUnreadable, run_virtual_card

    translate = translator(lang)
    stop = _stop_on_signals()

    def running() -> None:
        ready = json.dumps({"data": str(data), "inserted": not removed})
        print(ready if as_json else translate("virtual.card.ready"), flush=True)

    with failures(translate):
        data.mkdir(parents=True, exist_ok=True)
        try:
            run_virtual_card(data, reader, port=port, plain=plain, inserted=not removed, stop=stop, on_running=running)
        except CardFolderInUse as error:
            raise VirtualCardInUse(str(error)) from error
        except CardFolderUnreadable as error:
            raise VirtualCardUnreadable(str(error)) from error


def virtual_reader(data: FolderOption, as_json: JsonOption = False, lang: LangOption = "") -> None:
    """Virtual readers that only programs which know their socket can see, until it is ended."""
    from card_bridge.virtual import PrivateReader, ReaderUnavailable

    translate = translator(lang)
    stop = _stop_on_signals()
    with failures(translate):
        data.mkdir(parents=True, exist_ok=True)
        try:
            with PrivateReader(data) as reader:
                names = list(reader.names)
                ready = {"pcsc_socket": str(reader.socket_path), "ports": list(reader.ports), "readers": names}
                text = translate("virtual.reader.ready", readers=", ".join(names))
                print(json.dumps(ready) if as_json else text, flush=True)
                stop.wait()
        except ReaderUnavailable as error:
            raise VirtualReaderUnavailable(str(error)) from error


def personalise(
    data: Annotated[Path, typer.Option("--data", help="Settings folder with bridge.toml.")],
    reader: Annotated[str | None, typer.Option(help="The reader's name.", show_default=False)] = None,
    lang: LangOption = "",
) -> None:
    """Make keys on a card and write certificates, by JSON lines on standard input and output."""
    from card_bridge.personalisation import run_personalise

    forbid_core_dumps()
    with failures(translator(lang)):
        settings = read_settings(data)
        prepare_libraries(settings)
        status = run_personalise(
            stdin=sys.stdin.buffer,
            stdout=sys.stdout.buffer,
            reader=reader or settings.reader,
            pkcs11_module=Path(settings.module) if settings.module is not None else None,
        )
        raise typer.Exit(status)


def _stop_on_signals() -> threading.Event:
    """Set by the signals that end a program, so that it cleans up after itself."""
    stop = threading.Event()

    def handle(_: int, __: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stop
