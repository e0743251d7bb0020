"""How the command line asks for the PIN: a program of the caller's, or the terminal without echo."""

import getpass
import subprocess
import sys
from pathlib import Path

from card_bridge.messages.catalogue import Translator
from card_bridge.operations.direct import DirectRequest
from card_bridge.operations.errors import AskpassFailed, NoTerminal

ASKPASS_TIMEOUT_S = 300
MAX_PIN_OCTETS = 64


def question(translate: Translator, request: DirectRequest, *, tries_left: int | None, refused: bool) -> str:
    """What the person reads before the PIN: who asks, what for, the code, tries left."""
    lines: list[str] = []
    lang = translate("app.language")
    if request.verified is None:
        lines.append(translate("ask.plain_origin", origin=request.origin))
    else:
        statement = request.verified.statement
        lines.append(
            translate(
                "ask.client",
                client=statement.client_name.in_language(lang),
                purpose=statement.purpose.in_language(lang),
            )
        )
        lines.append(translate("ask.origin", origin=request.origin, code=request.verified.code))
    if refused:
        lines.append(translate("error.pin_incorrect"))
    if tries_left is not None:
        lines.append(translate("error.tries_left", tries=tries_left))
    return "\n".join([*lines, translate("ask.pin")])


class AskpassPrompt:
    """Runs a program with the question as its argument, as ssh does; its first line is the PIN."""

    may_repeat = False

    def __init__(self, program: Path, translate: Translator, *, knows_last_try: bool) -> None:
        self._program = program
        self._translate = translate
        self._knows_last_try = knows_last_try

    def ask(self, request: DirectRequest, *, tries_left: int | None, refused: bool) -> bytearray:
        """Raises: AskpassFailed."""
        text = question(self._translate, request, tries_left=tries_left, refused=refused)
        try:
            answer = subprocess.run(  # noqa: S603 - the program is the caller's own choice
                [str(self._program), text],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=ASKPASS_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise AskpassFailed(type(error).__name__) from error
        pin = bytearray(answer.stdout.partition(b"\n")[0].rstrip(b"\r"))
        if not 0 < len(pin) <= MAX_PIN_OCTETS:
            raise AskpassFailed("no PIN, or one too long")
        return pin

    def confirm_last_try(self) -> bool:
        return self._knows_last_try


class TerminalPrompt:
    """Asks on the controlling terminal; standard output stays free for the token."""

    may_repeat = True

    def __init__(self, translate: Translator, *, knows_last_try: bool) -> None:
        self._translate = translate
        self._knows_last_try = knows_last_try

    def ask(self, request: DirectRequest, *, tries_left: int | None, refused: bool) -> bytearray:
        """Raises: NoTerminal."""
        if not sys.stdin.isatty():
            raise NoTerminal
        text = question(self._translate, request, tries_left=tries_left, refused=refused)
        *lines, last = text.split("\n")
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()
        try:
            typed = getpass.getpass(last, stream=sys.stderr)
        except EOFError as error:
            raise NoTerminal from error
        return bytearray(typed.encode("utf-8"))

    def confirm_last_try(self) -> bool:
        if self._knows_last_try:
            return True
        if not sys.stdin.isatty():
            raise NoTerminal
        sys.stderr.write(self._translate("ask.last_try"))
        sys.stderr.flush()
        return sys.stdin.readline().strip() == "yes"
