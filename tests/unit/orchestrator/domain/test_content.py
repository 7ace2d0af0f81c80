from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain.content import classify
from orchestrator.domain.photo import ContentClass, Decision, FileFacts, QualityScores, Reason
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.verdict_sentences import explain
from tests.unit.orchestrator.domain.selection.test_selection import NO_TIES, unit_vectors
from tests.unit.values import FILTERS, candidate, quality

CAMERA = FileFacts(4000, 3000, 4_000_000, "2024-05-01T10:00:00", has_camera=True)
FILE = FileFacts(1080, 1920, 400_000)


def scores(**changes: Any) -> QualityScores:
    """Returns scores of a photo with varied content."""
    plain = {
        "brightness": 0.5,
        "tonal_range": 0.9,
        "flat_share": 0.1,
        "luminance_grid": tuple(range(256)),
        "detail_grid": (20,) * 256,
    }
    return quality(**{**plain, **changes})


PLAIN = {"focus_score": 0.0, "luminance_grid": (3, 4) * 128, "detail_grid": (0,) * 256}
PAGE = {"luminance_grid": (220,) * 256, "detail_grid": (30,) * 256, "colourfulness": 0.02}


@pytest.mark.parametrize(
    ("found", "file", "kind"),
    [
        (scores(), CAMERA, "PHOTO"),
        (scores(**PLAIN, brightness=0.01), CAMERA, "MISFIRE"),
        (scores(**PLAIN, brightness=0.01), FILE, "MISFIRE"),
        (scores(**PLAIN, brightness=0.99), CAMERA, "MISFIRE"),
        (scores(**PLAIN, brightness=0.99), FILE, "BLANK"),
        (scores(**PLAIN, brightness=0.4), CAMERA, "BLANK"),
        (scores(brightness=0.02, luminance_grid=(2, 12) * 128, focus_score=0.5), FILE, "PHOTO"),
        (scores(), FileFacts(1, 1), "BLANK"),
        (scores(**PAGE), CAMERA, "DOCUMENT"),
        (scores(**PAGE), FILE, "DOCUMENT"),
        (scores(flat_share=0.95), FILE, "SCREENSHOT"),
        (scores(flat_share=0.95), CAMERA, "PHOTO"),
        (scores(flat_share=0.95, tonal_range=0.05), FILE, "PHOTO"),
        (quality(), FILE, "PHOTO"),  # scored before these were measured
    ],
)
def test_kinds_of_pictures(found: QualityScores, file: FileFacts, kind: str) -> None:
    assert classify(found, file, is_animated=False) is ContentClass[kind]


def test_an_animation_is_recognized_from_its_file() -> None:
    assert classify(scores(), FILE, is_animated=True) is ContentClass.ANIMATION


def judge(
    kind: ContentClass, decision: Decision | None = None, **treatment: str
) -> tuple[Reason, str]:
    photo = replace(candidate("a", ava_score=9.0), content=kind, file=FileFacts(1, 1))
    rule = replace(NO_TIES, content=replace(NO_TIES.content, **treatment))  # type: ignore[arg-type]
    decisions = {"a": decision} if decision else {}
    selection = Selection([photo, candidate("b")], unit_vectors([0, 0]), FILTERS, rule, decisions)
    verdicts = selection.verdicts({})
    assert verdicts[1].is_selected
    return verdicts[0].reason, explain(selection, verdicts)[0]


def test_each_kind_is_treated_according_to_its_setting() -> None:
    assert judge(ContentClass.DOCUMENT)[0] is Reason.SELECTED_BEST
    assert judge(ContentClass.DOCUMENT, document="exclude") == (
        Reason.CONTENT_EXCLUDED,
        "Not selected: a document, and select_best.content.document excludes them.",
    )
    assert judge(ContentClass.SCREENSHOT, screenshot="keep") == (
        Reason.CONTENT_KEPT,
        "Selected: a screenshot or drawing, and select_best.content.screenshot keeps them all.",
    )
    assert judge(ContentClass.BLANK) == (
        Reason.CONTENT_EXCLUDED,
        "Not selected: a blank picture (1 x 1 px).",
    )
    assert judge(ContentClass.BLANK, Decision.KEEP)[0] is Reason.USER_KEEP


def test_nothing_is_picked_from_a_moment_of_misfires() -> None:
    photos = [
        replace(candidate(name, focus_score=0.0, brightness=0.01), content=ContentClass.MISFIRE)
        for name in "ab"
    ]
    selection = Selection(photos, unit_vectors([0, 0]), FILTERS, NO_TIES, {})
    verdicts = selection.verdicts({})
    assert [verdict.reason for verdict in verdicts] == [Reason.MISFIRE] * 2
    assert explain(selection, verdicts)[0] == (
        "Not selected: a misfire, because the frame is black and shows nothing (brightness 0.01)."
    )
