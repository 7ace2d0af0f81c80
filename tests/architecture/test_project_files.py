"""What a contributor meets first: hooks, the workflow and the issue forms do what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

GITHUB = ROOT / ".github"
FORMS = [path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
         if path.name != "config.yml"]  # fmt: skip
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_every_hook_before_a_commit_is_a_make_target() -> None:
    config = load(ROOT / ".pre-commit-config.yaml")
    (local,) = config["repos"]
    stages = {stage for hook in local["hooks"] for stage in hook["stages"]}
    assert stages == set(config["default_install_hook_types"]), "`pre-commit install` sets up all"
    assert local["repo"] == "local", "nothing is downloaded"
    for hook in local["hooks"]:
        command, target = hook["entry"].split()
        assert command == "make"
        assert target in TARGETS
        assert hook["pass_filenames"] is False


def test_the_workflow_runs_what_a_contributor_runs() -> None:
    workflow = load(GITHUB / "workflows" / "ci.yml")
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert any(".ci/run" in step for step in steps)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize(
    "path", sorted((GITHUB / "workflows").iterdir()), ids=lambda path: path.name
)
def test_actions_are_named_by_version_and_get_only_the_rights_they_need(path: Path) -> None:
    workflow = load(path)
    assert "permissions" in workflow or all(
        "permissions" in job for job in workflow["jobs"].values()
    )
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            assert "uses" not in step or re.search(r"@((release/)?v\d+|[0-9a-f]{40})", step["uses"])


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_has_what_github_requires(path: Path) -> None:
    form = load(path)
    assert {"name", "description", "body"} <= form.keys()
    names = [field["id"] for field in form["body"]]
    assert len(names) == len(set(names))
    for field in form["body"]:
        assert field["type"] in ("textarea", "input", "dropdown", "checkboxes")
        assert field["attributes"]["label"]
