"""What the documents say to type exists: every `citizenid …` names a command and options of it, every TOML is read."""

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import EnumType
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.core import TyperArgument, TyperGroup
from typer.main import get_command

from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.authorities.custodians import parse_custodians
from ca_core.kernel.settings import load_settings
from idp.cli import app

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
PROGRAM = "citizenid"
SettingsOf = Callable[[str], dict[str, Any]]
_FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_COMMAND = get_command(app)
assert isinstance(_COMMAND, TyperGroup)
TREE: TyperGroup = _COMMAND


@dataclass(frozen=True)
class Mention:
    """A command line in a document. whole: from a block that is to be typed as it stands, else a mention in a text."""

    words: tuple[str, ...]
    whole: bool


def mentions(text: str) -> Iterator[Mention]:
    """Command lines of fenced blocks; and of spans, which may leave out the program's name before a group's command."""
    for _, block in _FENCE.findall(text):
        for line in block.splitlines():
            if line.startswith(f"{PROGRAM} "):
                yield Mention(tuple(shlex.split(line.partition(" > ")[0])[1:]), whole=True)
    for span in _SPAN.findall(_FENCE.sub("", text)):
        words = span.replace("\\|", "|").replace("[", " ").replace("]", " ").split()
        if words[:1] == [PROGRAM]:
            yield Mention(tuple(words[1:]), whole=False)
        elif len(words) > 1 and words[0] in TREE.commands:
            yield Mention(tuple(words), whole=False)


def faults(mention: Mention) -> list[str]:
    """What is wrong with a command line: each of `a|b` counts."""
    return [fault for words in _alternatives(mention.words) for fault in _faults(words, whole=mention.whole)]


def _alternatives(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for place, word in enumerate(words):
        if "|" in word:
            for one in word.split("|"):
                yield from _alternatives((*words[:place], one, *words[place + 1 :]))
            return
    yield words


def _faults(words: tuple[str, ...], *, whole: bool) -> list[str]:
    line, command, rest = " ".join((PROGRAM, *words)), TREE, list(words)
    found: Any = command
    while isinstance(found, TyperGroup) and rest and not rest[0].startswith("-") and rest[0] != "…":
        name = rest.pop(0)
        if name not in found.commands:
            return [f"{line}: no command {name}"]
        found = found.commands[name]
    if isinstance(found, TyperGroup):
        return [f"{line}: is a group"] if whole else []
    options = {name: param for param in found.params for name in (*param.opts, *param.secondary_opts)}
    arguments = [param for param in found.params if isinstance(param, TyperArgument)]
    given, positional = set(), 0
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            positional += 1
            continue
        option = options.get(word)
        if option is None:
            return [f"{line}: no option {word}"]
        given.add(option.name)
        if getattr(option, "is_flag", False):
            continue
        if rest and not rest[0].startswith("-"):
            value, kind = rest.pop(0), option.type_descriptor.annotation
            is_placeholder = value.isupper() and not whole
            if (
                isinstance(kind, EnumType)
                and not is_placeholder
                and value not in {one.value for one in list[Any](kind)}
            ):
                return [f"{line}: {word} is never {value}"]
        elif whole:
            return [f"{line}: {word} without a value"]
    if positional > len(arguments) or (whole and positional < sum(param.required for param in arguments)):
        return [f"{line}: {positional} arguments"]
    missing = [param.name for param in options.values() if whole and param.required and param.name not in given]
    return [f"{line}: without {name}" for name in missing if name not in {param.name for param in arguments}]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_line_exists(path: Path) -> None:
    assert [fault for mention in mentions(path.read_text("utf-8")) for fault in faults(mention)] == []


def test_the_documents_for_operators_hold_command_lines() -> None:
    counts = {path.name: len(list(mentions(path.read_text("utf-8")))) for path in (ROOT / "README.md", OPERATIONS)}
    assert counts["README.md"] > 20
    assert counts["operations.md"] > 60


def test_every_command_is_in_the_readme() -> None:
    named = {words for mention in mentions((ROOT / "README.md").read_text("utf-8")) for words in _named(mention)}
    assert {words for words in _leaves(TREE, ()) if words not in named} == set()


def _named(mention: Mention) -> Iterator[tuple[str, ...]]:
    for words in _alternatives(mention.words):
        for end in range(1, len(words) + 1):
            yield words[:end]


def _leaves(group: TyperGroup, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _leaves(command, (*above, name))
        else:
            yield (*above, name)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`citizenid ca burn`", "citizenid ca burn: no command burn"),
        ("`audit verify --fast`", "citizenid audit verify --fast: no option --fast"),
        ("`citizenid card show|melt NUMBER`", "citizenid card melt NUMBER: no command melt"),
        ("```\ncitizenid ca\n```", "citizenid ca: is a group"),
        ("```\ncitizenid ca crl > list\n```", "citizenid ca crl: without authority"),
        ("```\ncitizenid serve --role king\n```", "citizenid serve --role king: --role is never king"),
        ("```\ncitizenid backup create\n```", "citizenid backup create: 0 arguments"),
        ("```\ncitizenid backup drill again\n```", "citizenid backup drill again: 1 arguments"),
        ("```\ncitizenid check-config --config\n```", "citizenid check-config --config: --config without a value"),
    ],
)
def test_what_is_wrong_is_found(text: str, fault: str) -> None:
    assert [found for mention in mentions(text) for found in faults(mention)] == [fault]


@pytest.fixture
def settings_of(tmp_path: Path) -> SettingsOf:
    """The members of a TOML block of the operations page, its paths moved to files that are there."""
    for name in ("pairwise", "csrf", "card-master", "national-id", "national-id-lookup", "key-passphrase", "token-pin"):
        _write_secret(tmp_path / "etc" / "secrets" / name)
    _write_secret(tmp_path / "etc" / "secrets" / "database")

    def moved(block: str) -> dict[str, Any]:
        text = block.replace("/etc/citizenid", f"{tmp_path}/etc").replace("/var/lib/citizenid", f"{tmp_path}/lib")
        return tomllib.loads(text)

    return moved


def _write_secret(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"k" * 32)
    path.chmod(0o600)


def _blocks() -> list[str]:
    return [block for kind, block in _FENCE.findall(OPERATIONS.read_text("utf-8")) if kind == "toml"]


def test_the_settings_of_every_role_are_accepted(settings_of: SettingsOf) -> None:
    founding, token = _blocks()[:2]
    whole = settings_of(founding)
    roles = [load_settings(**whole).role]
    in_token = settings_of(token)
    assert load_settings(**{**whole, **in_token}).audit_log_key_file is not None
    roles += [load_settings(**settings_of(block)).role for block in _blocks() if block.startswith("role = ")]
    assert [role.value for role in roles] == ["all", "ca", "va", "worker", "idp"]


def test_the_ceremony_and_its_custodians_are_understood() -> None:
    ceremony = next(block for block in _blocks() if block.startswith("title = "))
    assert [spec.slug for spec in parse_ceremony(ceremony.encode()).content.authorities] == ["root-g1", "citizen-g1"]
    custodians = next(block for block in _blocks() if block.startswith("threshold = "))
    while "-----BEGIN PUBLIC KEY-----\n…" in custodians:
        public_key = ec.generate_private_key(ec.SECP256R1()).public_key()
        pem = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        custodians = custodians.replace("-----BEGIN PUBLIC KEY-----\n…\n-----END PUBLIC KEY-----\n", pem, 1)
    assert (parse_custodians(custodians.encode()).threshold, custodians.count("[[custodians]]")) == (2, 2)
