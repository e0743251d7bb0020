"""Each of the repository's own checks finds what it is for, and lets the rest be."""

from pathlib import Path

import pytest

from scripts import lint_repository as lint


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lint, "ROOT", tmp_path)
    return tmp_path


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Path(name)


@pytest.mark.parametrize("parts", lint.REGISTRIES)
def test_a_registry_is_found_in_any_file(root: Path, parts: tuple[str, ...]) -> None:
    named = write(root, "x/some.lock", f"fine\nresolved: ftp://{'.'.join(parts)}/x\n")
    other = write(root, "y.md", "an example.org and a debian.org.tw\n")
    assert list(lint.registry_hosts([named, other])) == ["x/some.lock:2: names a package registry"]


def test_names_that_say_nothing(root: Path) -> None:
    assert list(lint.vague_names([Path("idp/utils.py"), Path("idp/common/x.py"), Path("idp/authorize/model.py")])) == [
        "idp/utils.py: the name says nothing",
        "idp/common/x.py: the name says nothing",
    ]


def test_long_modules(root: Path) -> None:
    files = [write(root, "idp/long.py", "x = 1\n" * 501), write(root, "idp/short.py", "x = 1\n" * 500)]
    assert [fault.partition(":")[0] for fault in lint.long_modules(files)] == ["idp/long.py"]


def test_two_test_files_of_one_name(root: Path) -> None:
    files = [Path("tests/unit/a/test_x.py"), Path("tests/unit/b/test_x.py"), Path("tests/unit/b/test_y.py")]
    assert len(list(lint.repeated_test_names(files))) == 1


@pytest.mark.parametrize(
    "parts",
    [
        ("# TO", "DO later"),
        ("raise NotImplemented", "Error"),
        ("x = 1  # type:", " ignore"),
        ("x = 1  # no", "qa: S101"),
        ("@pytest.mark", ".skip"),
        ("pytest", ".skip('no card')"),
    ],
)
def test_unfinished_work(root: Path, parts: tuple[str, str]) -> None:
    line = "".join(parts)
    assert len(list(lint.unfinished([write(root, "tests/test_x.py", f"\n{line}\n")]))) == 1


@pytest.mark.parametrize(
    "parts", [("x = 1  # no", "qa: S101 - our own"), ("# why\nx = 1  # type: ", "ignore[misc]"), ("y = 2", "")]
)
def test_finished_work(root: Path, parts: tuple[str, str]) -> None:
    assert list(lint.unfinished([write(root, "tests/test_x.py", "".join(parts))])) == []


def test_packages_without_a_docstring(root: Path) -> None:
    files = [write(root, "idp/a/__init__.py", ""), write(root, "idp/b/__init__.py", '"""B."""\n')]
    assert list(lint.undescribed_packages(files)) == ["idp/a/__init__.py: no docstring"]
