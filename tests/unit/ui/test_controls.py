"""The run form's settings, as the page words them."""

from __future__ import annotations

import re

import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from orchestrator.config import describe_settings
from orchestrator.transport.converters import setting_message
from ui.controls import COMPONENT_COUNT, CONTROLS, MAIN, fill

pytestmark = pytest.mark.slow

INTERNAL = re.compile(r"\w_\w|\bnull\b|`|--\w")
"""Key names, YAML and options of the command line, which the page has no use for."""


@pytest.fixture(scope="module")
def updates() -> list[dict[str, object]]:
    settings = [setting_message(setting) for setting in describe_settings()]
    filled = fill(pb.DescribeSettingsResponse(settings=settings), {})
    assert len(filled) == COMPONENT_COUNT
    return filled


def test_help_texts_use_no_internal_names(updates: list[dict[str, object]]) -> None:
    shown = [str(update["info"]) for update in updates if "info" in update]
    assert len(shown) == len(CONTROLS)
    assert [text for text in shown if INTERNAL.search(text) or not text[0].isupper()] == []


def test_every_goal_is_worded_and_keeps_its_value() -> None:
    settings = [setting_message(setting) for setting in describe_settings()]
    described = pb.DescribeSettingsResponse(settings=settings)
    found = fill(described, {"people": {"enabled": True}})
    assert {value: title for title, value in found[0]["choices"]} == dict(MAIN[0].words)


def test_settings_about_people_are_hidden_unless_people_are_recognized(
    updates: list[dict[str, object]],
) -> None:
    choices = updates[0]["choices"]
    assert isinstance(choices, list)
    assert "everybody" not in [value for _, value in choices]
    assert [update.get("visible") for update in updates].count(False) == 3  # two are limits
