"""The words for settings and results on the Compare screen."""

from __future__ import annotations

import dataclasses
import re

import pytest

from orchestrator.config import describe_settings
from orchestrator.records import ImageRecord
from ui.field_words import Plain, name_photo_field, name_setting, word_setting

KEY = re.compile(r"[a-z]_[a-z]|\w\.\w")


def test_no_name_is_a_key() -> None:
    settings = [name_setting(setting.key) for setting in describe_settings()]
    fields = [name_photo_field(field.name) for field in dataclasses.fields(ImageRecord)]
    assert [name for name in settings + fields if KEY.search(name)] == []


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("select_best.goal.pick", "count", "a number of photos from the whole album"),
        ("cluster_scenes.scene_distance", "auto", "automatic"),
        ("cluster_scenes.scene_distance", None, "no limit"),
        ("cluster_scenes.scene_distance", 0.4, "0.4"),
        ("select_best.include_noise", True, "yes"),
    ],
)
def test_values_are_worded_as_their_controls_do(key: str, value: Plain, words: str) -> None:
    assert word_setting(key, value) == words
