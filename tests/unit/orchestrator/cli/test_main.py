"""The command before it does anything: Ctrl-C while it loads its modules, wrong values."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app as commands
from orchestrator.cli.app import app
from tests.waiting import LIMIT_S

COMMAND = "from orchestrator.cli.main import main; main()"
WAITS = "import os, signal; os.write(1, b'loading'); signal.pause()"


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["--help"], "typer"),
        (["serve", "orchestrator"], "grpc"),
        (["serve", "quality"], "grpc"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else value,
)
def test_ctrl_c_while_loading_ends_without_a_traceback(
    tmp_path: Path, arguments: list[str], module: str
) -> None:
    (tmp_path / f"{module}.py").write_text(WAITS)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None
    assert process.stdout.read(len("loading")) == b"loading"
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, text) == (130, b"")


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (
            ["token", "me", "--scope", "foo"],
            "'--scope': 'foo' is not one of 'read', 'run'",
        ),
        (["curate", "x", "--count", "0"], "'--count': must be at least 1"),
        (["curate", "x", "--count", "many"], "'--count': must be an integer"),
        (["people", "list", "--as", "x"], "No such option: --as"),
    ],
)
def test_a_wrong_value_is_explained_in_our_words(command: list[str], problem: str) -> None:
    answer = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert answer.exit_code == 2
    assert problem in answer.output
    assert "Value error" not in answer.output


def test_an_argument_that_is_not_unicode_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsdecode(b"\xffna")
    monkeypatch.setattr(sys, "argv", ["bestshot", "keep", name])
    monkeypatch.setattr(commands, "app", name.encode)
    with pytest.raises(SystemExit, match="2"):
        commands.main()
    assert "the argument '\\udcffna' is not valid UTF-8" in capsys.readouterr().err
