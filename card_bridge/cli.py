"""The command line: serve, authenticate, doctor, virtual-card, virtual-reader, personalise.

What only one command needs is imported in it: a script that wants one token should not wait for a web server's modules.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from card_bridge.cli_cards import register
from card_bridge.clock import system_clock
from card_bridge.operations.direct import DirectRequest, PinPrompt
from card_bridge.operations.direct import authenticate as authenticate_directly
from card_bridge.operations.prompts import AskpassPrompt, TerminalPrompt
from card_bridge.readers import card_readers
from card_bridge.settings import BridgeData, default_folder, read_data
from card_bridge.statement.errors import ProviderNotPinned, StatementMissing
from card_bridge.statement.model import VerifiedStatement
from card_bridge.statement.service import MAX_STATEMENT_OCTETS, StatementVerifier
from card_bridge.terminal import DataOption, JsonOption, LangOption, failures, forbid_core_dumps, translator
from card_bridge.web_eid.model import parse_nonce
from card_bridge.web_eid.origin import parse_origin
from card_bridge.web_eid.service import bridge_version

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
register(app)


def main() -> None:
    """Exit status 0, 1 (refused or failed: code and reason on stderr), 2 (usage)."""
    app()


@app.command()
def serve(
    data: DataOption = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.", show_default=False)] = None,
    as_json: JsonOption = False,
    lang: LangOption = "",
) -> None:
    """Answer pages of pinned providers on 127.0.0.1 and ::1."""
    from card_bridge.main import run_server

    forbid_core_dumps()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    translate = translator(lang)

    def ready(chosen: int) -> None:
        url = f"http://127.0.0.1:{chosen}"
        print(json.dumps({"url": url, "port": chosen, "version": bridge_version()}) if as_json else
              translate("serve.ready", url=url), flush=True)  # fmt: skip

    with failures(translate):
        read = read_data(data or default_folder())
        if not len(read.providers):
            print(translate("serve.no_providers"), file=sys.stderr)
        try:
            run_server(read, port=port, ready=ready)
        except KeyboardInterrupt:
            return


@app.command()
def authenticate(
    origin: Annotated[str, typer.Option(help="The page's origin, as the browser writes it.")],
    nonce: Annotated[str, typer.Option(help="The challenge nonce, base64.")],
    statement: Annotated[Path | None, typer.Option(help="File with the provider's statement.")] = None,
    askpass: Annotated[Path | None, typer.Option(help="Program that prints the PIN; else the terminal asks.")] = None,
    card: Annotated[str | None, typer.Option(help="Card number, 16 digits.")] = None,
    data: DataOption = None,
    last_try: Annotated[bool, typer.Option("--last-try", help="Go on though one PIN try is left.")] = False,
    lang: LangOption = "",
) -> None:
    """Print a Web eID authentication token as JSON."""
    forbid_core_dumps()
    translate = translator(lang)
    compact = _read_statement(statement)
    with failures(translate):
        read = read_data(data or default_folder())
        checked_origin, checked_nonce = parse_origin(origin), parse_nonce(nonce)
        request = DirectRequest(
            origin=checked_origin,
            challenge_nonce=checked_nonce,
            verified=_verify(read, checked_origin, checked_nonce, compact),
            card_number=card,
            reader=read.settings.reader,
        )
        prompt: PinPrompt = (
            AskpassPrompt(askpass, translate, knows_last_try=last_try)
            if askpass is not None
            else TerminalPrompt(translate, knows_last_try=last_try)
        )
        token = authenticate_directly(card_readers(read.settings), request, prompt)
        print(json.dumps(token.to_wire()))


@app.command()
def doctor(data: DataOption = None, as_json: JsonOption = False, lang: LangOption = "") -> None:
    """Name what is missing between this computer and a login."""
    from card_bridge.doctor import examine

    translate = translator(lang)
    checks = list(examine(data or default_folder()))
    everything = all(check.ok for check in checks)
    if as_json:
        print(json.dumps({"ok": everything, "checks": [check.to_wire() for check in checks]}, ensure_ascii=False))
    else:
        for check in checks:
            mark = translate("doctor.ok" if check.ok else "doctor.missing")
            print(f"[{mark}] {translate(f'doctor.{check.name}')}: {check.detail}")
            if not check.ok:
                print("    " + translate(f"doctor.advice.{check.name}"))
        print(translate("doctor.result.ok" if everything else "doctor.result.missing"))
    raise typer.Exit(0 if everything else 1)


def _verify(data: BridgeData, origin: str, nonce: str, compact: str) -> VerifiedStatement | None:
    """The statement behind the nonce; None for an origin that no pinned provider has, without a statement."""
    provider = data.providers.find(origin)
    if provider is None:
        if compact:
            raise ProviderNotPinned
        return None
    if not compact:
        raise StatementMissing
    return StatementVerifier(system_clock).verify(compact, challenge_nonce=nonce, provider=provider)


def _read_statement(path: Path | None) -> str:
    """The file's text without the line feed that editors add; too large a file is cut and then refused."""
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_STATEMENT_OCTETS + 2)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--statement") from error
    return octets.decode("ascii", "replace").rstrip("\r\n")
