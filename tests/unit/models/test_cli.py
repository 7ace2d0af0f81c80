"""What `bestshot models list` prints for programs."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from models.cli import app
from models.state import State
from services.common.config.folders import config_dir
from services.common.inference.registry import read_registry

MODELS = read_registry(config_dir(None)).models


def test_the_list_is_not_cut_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = CliRunner().invoke(app, ["list"]).output
    for model_id, entry in MODELS.items():
        (line,) = (line for line in text.splitlines() if line.split()[1:2] == [model_id])
        assert entry.licence in line


def test_the_list_is_json_for_programs() -> None:
    listed = json.loads(CliRunner().invoke(app, ["list", "--json"]).output)["models"]
    assert {one["id"]: one["role"] for one in listed} == {
        model_id: entry.role.value for model_id, entry in MODELS.items()
    }
    assert {one["state"] for one in listed} <= set(State)
