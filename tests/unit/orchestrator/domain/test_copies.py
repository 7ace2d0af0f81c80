from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from orchestrator.config import PipelineConfig, resolve_auto
from orchestrator.domain.alteration import Alteration, Edit
from orchestrator.domain.copies import CopyRule, find_copies
from orchestrator.domain.photo import Candidate, ContentClass, Decision, FileFacts, Reason
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.verdict_sentences import explain
from orchestrator.records import ImageRecord
from orchestrator.runs.selection import find_moments
from tests.conftest import ROOT
from tests.unit.values import FILTERS, candidate, quality, rules

SCENE = tuple(int(level) for level in np.random.default_rng(1).integers(30, 220, 256))
DETAIL = tuple(int(level) for level in np.random.default_rng(2).integers(5, 40, 256))
OTHER_SCENE = SCENE[::-1]


def photo(
    path: str, scene: tuple[int, ...] = SCENE, *, faces: int = 0, **changes: Any
) -> Candidate:
    """Returns a photo of 4000 x 3000 pixels that shows a scene."""
    facts = {name: changes.pop(name) for name in FileFacts.__slots__ if name in changes}
    file = FileFacts(**{"width_px": 4000, "height_px": 3000, "size_bytes": 4_000_000, **facts})
    shown = {"luminance_grid": scene, "detail_grid": DETAIL, "noise_level": 2.0}
    plain = candidate(path, **{**shown, **changes})
    return replace(plain, file=file)


def rules_of(*photos: Candidate, kept: str = "") -> dict[str, CopyRule | None]:
    found = find_copies(photos, frozenset({kept} if kept else ()))
    return {path: copy.rule for path, copy in found.items()}


def shift(grid: tuple[int, ...], amount: int, count: int = 256) -> tuple[int, ...]:
    return tuple(value + amount * (place < count) for place, value in enumerate(grid))


def test_the_file_with_more_pixels_is_the_original_regardless_of_scores() -> None:
    small = photo("small", shift(SCENE, 1), width_px=800, height_px=600, ava_score=9.0)
    tiny = photo("tiny", width_px=320, height_px=240)
    assert rules_of(photo("large"), small, tiny) == {
        "small": CopyRule.SMALLER,
        "tiny": CopyRule.SMALLER,
    }


def test_a_damaged_copy_is_not_the_original() -> None:
    broken = photo("broken", is_damaged=True, has_camera=True, ava_score=9.0)
    assert rules_of(photo("whole"), broken) == {"broken": CopyRule.DAMAGED}


def test_a_version_without_grids_of_a_smaller_copy_is_compared_by_its_size() -> None:
    small = photo("small", width_px=800, height_px=600)
    crop = photo("crop", (), detail_grid=(), width_px=600, height_px=400)
    crop = replace(crop, alteration=Alteration(original="small", edits=(Edit.CROPPED,)))
    assert rules_of(photo("large"), small, crop) == {
        "small": CopyRule.SMALLER,
        "crop": CopyRule.SMALLER,
    }


def test_each_copy_says_how_it_differs_from_the_original_itself() -> None:
    # the enlarged file loses to `crisp`, which then loses to a larger file that is not as crisp
    crisp = photo("crisp", width_px=600, height_px=450, focus_score=1.0, sharpness=0.4)
    enlarged = photo("enlarged", width_px=2000, height_px=1500, focus_score=0.3, sharpness=0.4)
    large = photo("large", focus_score=0.6, sharpness=0.4)
    assert rules_of(crisp, enlarged, large) == {
        "crisp": CopyRule.SMALLER,
        "enlarged": CopyRule.SMALLER,
    }


def test_an_enlarged_copy_is_not_the_original() -> None:
    source = photo("source", width_px=600, height_px=450, focus_score=1.0, sharpness=0.4)
    large = photo("large", focus_score=0.3, sharpness=0.4)
    assert rules_of(source, large) == {"large": CopyRule.ENLARGED}


@pytest.mark.parametrize(
    ("soft", "copy"),
    [
        ({"focus_score": 0.3, "sharpness": 0.3}, {"focus_score": 0.6, "sharpness": 0.2}),
        ({"focus_score": 0.3, "sharpness": 0.4, "has_camera": True}, {"focus_score": 0.9}),
    ],
)
def test_a_soft_original_is_preferred_to_its_copies(
    soft: dict[str, Any], copy: dict[str, Any]
) -> None:
    small = photo("copy", **{"width_px": 600, "height_px": 450, "sharpness": 0.4, **copy})
    assert rules_of(photo("soft", **soft), small) == {"copy": CopyRule.SMALLER}


def test_a_picture_without_a_watermark_is_the_original_of_one_with_it() -> None:
    marked = photo(
        "marked",
        shift(SCENE, 30, 100),
        detail_grid=shift(DETAIL, 25, 110),
        size_bytes=6_000_000,
        has_camera=True,
    )
    assert rules_of(photo("clean"), marked) == {"marked": CopyRule.OVERLAY}


def test_a_moving_subject_is_not_a_watermark() -> None:
    detail = (*shift(DETAIL[:50], 25), *shift(DETAIL[50:100], -5), *DETAIL[100:])
    moved = photo("moved", shift(SCENE, 30, 100), detail_grid=detail, size_bytes=6_000_000)
    assert rules_of(photo("before"), moved) == {}
    entered = photo("entered", shift(SCENE, 30, 100), detail_grid=shift(DETAIL, 25, 110))
    entered = replace(entered, faces=(object(),))  # type: ignore[arg-type]  # only counted
    assert rules_of(photo("before"), entered) == {}


def test_a_blurred_frame_is_not_an_original() -> None:
    """Blur removes detail everywhere, and changes the luminance of some cells."""
    soft = tuple(value // 3 for value in DETAIL)
    blurred = photo("blurred", shift(SCENE, 6, 20), detail_grid=soft, sharpness=0.1)
    assert rules_of(photo("sharp"), blurred) == {}
    blurred = photo("blurred", detail_grid=soft, sharpness=0.1, has_camera=True)
    assert rules_of(photo("sharp"), blurred) == {}


def test_camera_data_and_compression_decide_between_equal_sizes() -> None:
    assert rules_of(photo("a", has_camera=True), photo("b", size_bytes=9_000_000)) == {
        "b": CopyRule.CAMERA
    }
    assert rules_of(photo("a"), photo("b", size_bytes=1_000_000)) == {"b": CopyRule.COMPRESSED}
    grainy = photo("b", size_bytes=9_000_000, noise_level=9.0)
    assert rules_of(photo("a"), grainy) == {}


def test_shots_and_plain_frames_are_not_copies() -> None:
    small = {"width_px": 800, "height_px": 600}
    assert rules_of(photo("a"), photo("b", OTHER_SCENE, **small)) == {}
    assert rules_of(photo("a"), photo("b")) == {}  # there is no sign that one is a copy
    times = ("2024-05-01T10:00:00", "2024-05-01T10:00:01")
    shots = [photo("a", capture_time=times[0]), photo("b", capture_time=times[1], **small)]
    assert rules_of(*shots) == {}
    assert rules_of(photo("a", (7,) * 256), photo("b", (7,) * 256, **small)) == {}
    assert rules_of(candidate("old"), candidate("older")) == {}  # scored before there were grids


def test_the_photo_that_the_user_keeps_is_the_original() -> None:
    small = photo("small", width_px=800, height_px=600)
    assert rules_of(photo("large"), small, kept="small") == {"large": None}


def judge(
    photos: list[Candidate], decisions: dict[str, Decision], **changes: Any
) -> dict[str, tuple[Reason, str]]:
    vectors = np.eye(len(photos), dtype=np.float32)
    selection = Selection(photos, vectors, FILTERS, rules(**changes), decisions)
    verdicts = selection.verdicts({})
    texts = explain(selection, verdicts)
    return {one.path: (one.reason, text) for one, text in zip(verdicts, texts, strict=True)}


def test_a_copy_is_never_picked_and_its_reason_names_the_original() -> None:
    small = photo("small", width_px=800, height_px=600, ava_score=9.0)
    found = judge([photo("large"), small], {})
    assert found["small"] == (
        Reason.COPY,
        "Not selected: a smaller copy of large (800 x 600 px; the original has 4000 x 3000).",
    )
    assert found["large"][0] is Reason.SELECTED_BEST
    assert "small scores 0.83, but it is a copy of large" in found["large"][1]


def test_a_copy_replaces_an_original_that_the_user_rejects() -> None:
    small = photo("small", width_px=800, height_px=600)
    found = judge([photo("large"), small], {"large": Decision.REJECT})
    assert found["small"][0] is Reason.SELECTED_BEST


def test_a_blurred_original_is_not_replaced_by_its_copy() -> None:
    """The copy looks sharper only because it is smaller."""
    small = photo("small", width_px=800, height_px=600, focus_score=0.5, sharpness=0.1)
    found = judge([photo("large", focus_score=0.1, sharpness=0.1), small], {})
    assert found["small"][0] is Reason.COPY
    assert found["large"][0] is Reason.SELECTED_BEST


def test_no_copy_loses_to_a_picture_that_the_settings_exclude() -> None:
    large = replace(photo("large"), content=ContentClass.MISFIRE)
    found = judge([large, photo("small", width_px=800, height_px=600)], {})
    assert found["small"][0] is Reason.SELECTED_BEST


def versions() -> list[Candidate]:
    """Returns an original, a better-looking version, a version of that one, and another shot."""
    grey = photo("grey", OTHER_SCENE, ava_score=9.0)
    part = photo("part", shift(OTHER_SCENE, 90), ava_score=8.0)
    return [
        photo("original"),
        replace(
            grey,
            alteration=Alteration("original", (Edit.BLACK_AND_WHITE,)),
            file=replace(grey.file, is_edit=True),
        ),
        replace(part, alteration=Alteration("grey", (Edit.CROPPED, Edit.MIRRORED))),
        photo("other", SCENE[128:] + SCENE[:128], ava_score=5.0),
    ]


@pytest.mark.parametrize(
    ("use", "reasons"),
    [
        ("edits", [Reason.SELECTED_BEST, Reason.SELECTED_VERSION, Reason.VERSION]),
        ("original", [Reason.SELECTED_BEST, Reason.VERSION, Reason.VERSION]),
        ("all", [Reason.SELECTED_BEST, Reason.SELECTED_VERSION, Reason.SELECTED_VERSION]),
        ("compete", [Reason.LOWER_SCORE, Reason.SELECTED_BEST, Reason.SELECTED_DISTINCT]),
    ],
)
def test_versions_are_treated_as_the_setting_says(use: str, reasons: list[Reason]) -> None:
    found = judge(versions(), {}, versions=use)
    assert [found[name][0] for name in ("original", "grey", "part")] == reasons
    if use == "original":
        text = "Not selected: a cropped, mirrored version of original."
        assert found["part"][1] == text
    if use in ("edits", "all"):
        text = "Also selected: a black-and-white version of original; select_best.versions is "
        assert found["grey"][1] == f"{text}{use}."


@pytest.mark.parametrize(
    ("use", "reason"), [("edits", Reason.SELECTED_VERSION), ("original", Reason.COPY)]
)
def test_an_edit_that_looks_like_its_original_is_kept_beside_it(use: str, reason: Reason) -> None:
    edit = photo("a-edited", size_bytes=1_000_000, is_edit=True)
    found = judge([photo("a"), edit], {}, versions=use)
    assert found["a"][0] is Reason.SELECTED_BEST
    assert found["a-edited"][0] is reason
    if use == "edits":
        text = (
            "Also selected: an edited copy, judging by its name, of a; select_best.versions is "
            "edits."
        )
        assert found["a-edited"][1] == text


def test_a_version_that_the_user_keeps_replaces_its_original() -> None:
    found = judge(versions(), {"grey": Decision.KEEP})
    assert found["grey"][0] is Reason.USER_KEEP
    assert found["original"] == (Reason.COPY, "Not selected: a version of grey, which you kept.")


@pytest.mark.parametrize(("profile", "labels"), [("builtin", [0, 0, -1]), ("reference", [-1] * 3)])
def test_copies_share_a_moment_regardless_of_their_embeddings(
    profile: str, labels: list[int]
) -> None:
    shown = quality(luminance_grid=SCENE, detail_grid=DETAIL)
    size = {"width_px": 4000, "height_px": 3000}
    records = [
        ImageRecord("large", "1", 9, quality=shown, **size),
        ImageRecord("small", "2", 9, quality=shown, width_px=800, height_px=600),
        ImageRecord("unscored", "3", 9, **size),
    ]
    settings = PipelineConfig(ROOT / "configs", "builtin").load(profile)
    found = find_moments(
        np.eye(3, dtype=np.float32),
        np.full((3, 32, 32), np.nan, np.float32),
        records,
        resolve_auto(settings.cluster_scenes, (0.32, 0.256)),
        settings.keep_sets,
    )
    assert found.labels.tolist() == labels
