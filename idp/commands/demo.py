"""`citizenid demo`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from idp.commands.shared import refusals
from idp.demo.run import run_demo


def demo(
    data: Annotated[Path, typer.Option(help="The demo's own folder; re-running goes on with it.")] = Path("demo-data"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the provider; 0 takes a free one.")] = 8000,
    bridge_port: Annotated[int, typer.Option(min=0, max=65535, help="Of the card bridge.")] = 61161,
    tls: Annotated[bool, typer.Option("--tls", help="Serve https from the demo's own CA.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON when ready.")] = False,
) -> None:
    """Run a complete country: CA, citizens with cards, a card bridge and a relying party to log in to."""

    def say(text: str) -> None:
        print(f"… {text}", file=sys.stderr, flush=True)

    def ready(members: dict[str, Any]) -> None:
        print(json.dumps(members, ensure_ascii=False) if as_json else _welcome(members), flush=True)

    with refusals():
        run_demo(data, port=port, bridge_port=bridge_port, tls=tls, say=say, ready=ready)


def _welcome(members: dict[str, Any]) -> str:
    citizen = members["citizens"][0]
    return "\n".join(
        [
            "",
            f"  示範已就緒。請開啟  Open this page:   {members['relying_party']}",
            f"  讀卡機中的卡片  The card in the reader:  {citizen['name']}, {citizen['card_number']}",
            f"  PIN 碼  PIN:  {citizen['pin']}",
            f"  登入服務  Login service:  {members['issuer']}",
            f"  設定檔  Settings, for `citizenid … --config`:  {members['config']}",
            "  按 Ctrl-C 結束。  Ctrl-C ends it.",
            "",
        ]
    )
