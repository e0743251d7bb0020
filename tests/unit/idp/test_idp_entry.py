"""What is installed as `citizenid`."""

import gc
import sys

import pytest

from ca_core.kernel import logs
from idp.entry import main


def test_the_command_runs_with_garbage_collection_and_logs_that_people_can_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configured: list[tuple[str, bool]] = []
    monkeypatch.setattr(logs, "configure_logs", lambda level, *, human: configured.append((level, human)))
    monkeypatch.setattr(sys, "argv", ["citizenid", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "check-config" in capsys.readouterr().out
    assert gc.isenabled()
    assert configured == [("warning", True)]
