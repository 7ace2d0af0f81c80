"""Every report can be read by programs (`--json`) and cut short (`--quiet`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from orchestrator.cli.app import app

ACTIONS = {
    *(
        "curate",
        "demo",
        "up",
        "serve",
        "export",
        "delete-run",
        "delete-album",
        "keep",
        "reject",
        "clear",
    ),
    *("models pull", "models pin", "models export"),
    *("decisions undo", "decisions export", "decisions import"),
    *("people name", "people merge", "people split", "people not", "people not-a-face"),
    *("people ignore", "people important", "people undo", "people erase"),
}
"""Commands that change something; all others are reports."""


def commands(command: Any, *names: str) -> Iterator[Any]:
    if not hasattr(command, "commands"):
        options = {option for parameter in command.params for option in parameter.opts}
        yield pytest.param(options, id=" ".join(names))
    else:
        for name, one in command.commands.items():
            yield from commands(one, *names, name)


COMMANDS = list(commands(typer.main.get_command(app)))
REPORTS = [case for case in COMMANDS if case.id not in ACTIONS]


def test_every_action_exists() -> None:
    assert {case.id for case in COMMANDS} > ACTIONS


@pytest.mark.parametrize("options", REPORTS)
def test_every_report_has_json_and_quiet(options: set[str]) -> None:
    assert {"--json", "--quiet", "-q"} <= options


def run(*arguments: str) -> str:
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_reports_about_models_and_tokens() -> None:
    states = json.loads(run("models", "verify", "--json"))["states"]
    first = json.loads(run("models", "list", "--json"))["models"][0]
    assert run("models", "list", "-q").splitlines()[0] == first["id"]
    info = json.loads(run("models", "info", first["id"], "--json"))
    assert info["id"] == first["id"]
    assert run("models", "info", first["id"], "-q").strip() == info["state"] == states[first["id"]]
    assert run("models", "verify", "-q") == ""
    made = json.loads(run("token", "me", "--scope", "read", "--days", "1", "--json"))
    assert made["tokens"]["me"].keys() == {"sha256", "scope", "expires"}
    assert len(run("token", "me", "--scope", "read", "-q").strip()) == len(made["token"])
