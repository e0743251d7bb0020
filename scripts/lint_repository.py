"""What ruff cannot check: which names, addresses and sizes the repository's files may have."""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ("ca_core", "mobile_api", "idp", "card_bridge")
REGISTRIES = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("deb", "debian", "org"),
    ("security", "debian", "org"),
    ("snapshot", "debian", "org"),
    ("archive", "ubuntu", "com"),
    ("crates", "io"),
    ("proxy", "golang", "org"),
    ("repo", "maven", "apache", "org"),
    ("repo1", "maven", "org"),
)
"""In parts, so that this file does not name them either."""
VAGUE = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "misc"})
MAX_LINES = 500


def committed_files() -> list[Path]:
    """What git has or would take: tracked files and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [Path(name) for name in sorted(set(listed.split("\0"))) if name and (ROOT / name).is_file()]


def registry_hosts(files: Iterable[Path]) -> Iterator[str]:
    """Nothing names a package registry: each machine's own settings say where packages come from."""
    pattern = re.compile("|".join(r"\.".join(map(re.escape, parts)) for parts in REGISTRIES), re.IGNORECASE)
    for path in files:
        for number, line in enumerate((ROOT / path).read_bytes().decode("utf-8", "replace").splitlines(), 1):
            if pattern.search(line):
                yield f"{path}:{number}: names a package registry"


def vague_names(files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        if path.suffix == ".py" and VAGUE & {part.removesuffix(".py") for part in path.parts}:
            yield f"{path}: the name says nothing"


def long_modules(files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        if path.suffix == ".py" and path.parts[0] in SOURCE and "versions" not in path.parts:
            count = len((ROOT / path).read_text().splitlines())
            if count > MAX_LINES:
                yield f"{path}: {count} lines; split it at {MAX_LINES}"


def repeated_test_names(files: Iterable[Path]) -> Iterator[str]:
    """Test folders are no packages, so that two test files of one name would be taken for one module."""
    places: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        if path.parts[0] == "tests" and path.name.startswith("test_"):
            places[path.name].append(path)
    for paths in places.values():
        if len(paths) > 1:
            yield f"two test files of one name: {', '.join(map(str, paths))}"


def unfinished(files: Iterable[Path]) -> Iterator[str]:
    """No reminders and no silent exceptions to a rule: do it now, or say why beside it."""
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|raise NotImplemented" r"Error")
    bare = re.compile(r"#\s*(type: ignore(\[[\w, -]+\])?|noqa(: [A-Z0-9, ]+)?)\s*$")
    skips = re.compile(r"pytest\.mark\.(skip|xfail)|pytest\.(skip|xfail|importorskip)\(")
    for path in files:
        if path.suffix != ".py" or path.parts[0] not in (*SOURCE, "tests", "scripts"):
            continue
        before = ""
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
            if marks.search(line):
                yield f"{path}:{number}: unfinished"
            if bare.search(line) and "#" not in before:
                yield f"{path}:{number}: an exception to a rule without its reason"
            if path != Path("scripts/lint_repository.py") and skips.search(line):
                yield f"{path}:{number}: a test that may not run"
            before = line


def undescribed_packages(files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        if path.name == "__init__.py" and path.parts[0] in SOURCE:
            if not (ROOT / path).read_text().lstrip().startswith('"""'):
                yield f"{path}: no docstring"


CHECKS = (registry_hosts, vague_names, long_modules, repeated_test_names, unfinished, undescribed_packages)


def main() -> int:
    files = committed_files()
    faults = [fault for check in CHECKS for fault in check(files)]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
