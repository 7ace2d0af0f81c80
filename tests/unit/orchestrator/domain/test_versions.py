from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from orchestrator.domain.alteration import Alteration, Edit
from orchestrator.domain.overlap import Overlap, Side
from orchestrator.domain.photo import FileFacts
from orchestrator.domain.versions import (
    VersionPhoto,
    edits_of,
    find_versions,
    pairs_to_check,
    upright_structures,
)

WHOLE = Side(share=1.0, x=0.0, y=0.0, spread=0.0, chroma=20.0, length=1.0)
SAME = Overlap(
    match_count=100,
    is_mirrored=False,
    turn_degrees=0.0,
    bend=0.0,
    agreement=0.95,
    lowest=0.9,
    colour_shift=1.0,
    first=WHOLE,
    second=WHOLE,
)
PART = replace(WHOLE, length=0.6)
REST = replace(WHOLE, share=0.36, spread=50.0, length=1 / 0.6)


def photo(path: str = "a", width: int = 4000, **facts: Any) -> VersionPhoto:
    return VersionPhoto(path, FileFacts(width, width * 3 // 4, 10**6, **facts))


CROP = photo("crop", 2400)


@pytest.mark.parametrize(
    ("version", "overlap", "edits"),
    [
        (photo(), SAME, ()),
        (photo(), replace(SAME, is_mirrored=True), (Edit.MIRRORED,)),
        (photo(), replace(SAME, turn_degrees=89.0), (Edit.TURNED,)),
        (photo(), replace(SAME, turn_degrees=179.5), (Edit.TURNED,)),
        (photo(), replace(SAME, colour_shift=20.0), (Edit.FILTERED,)),
        (
            photo(),
            replace(SAME, colour_shift=20.0, first=replace(WHOLE, chroma=0.5)),
            (Edit.BLACK_AND_WHITE,),
        ),
        (CROP, replace(SAME, first=PART, second=REST), (Edit.CROPPED,)),
        (CROP, replace(SAME, first=PART, second=REST, turn_degrees=4.0), (Edit.CROPPED,)),
        (photo(), replace(SAME, first=replace(REST, spread=1.0), second=PART), (Edit.FRAMED,)),
        (photo(), replace(SAME, agreement=0.6, is_mirrored=True), None),
        (photo(), replace(SAME, bend=0.03, is_mirrored=True), None),
        # through a longer lens
        (photo(), replace(SAME, first=PART, second=REST), None),
        # each shows something that the other does not
        (photo(), replace(SAME, first=REST, second=REST, is_mirrored=True), None),
    ],
)
def test_versions_differ_by_what_no_second_shot_does(
    version: VersionPhoto, overlap: Overlap, edits: tuple[Edit, ...] | None
) -> None:
    assert edits_of(version, photo("b"), overlap) == edits


@pytest.mark.parametrize("is_swapped", [False, True])
def test_the_photo_with_the_edit_is_the_version(is_swapped: bool) -> None:
    photos, crop = [photo("a"), CROP], replace(SAME, first=REST, second=PART)
    if is_swapped:
        photos, crop = photos[::-1], crop.swap()
    found = dict(zip(photos, find_versions(photos, [(0, 1)], [crop]), strict=True))
    assert found == {CROP: Alteration("a", (Edit.CROPPED,)), photo("a"): None}


def test_of_mirrored_photos_the_one_from_the_camera_is_the_original() -> None:
    photos = [photo("a"), photo("b", has_camera=True)]
    found = find_versions(photos, [(0, 1)], [replace(SAME, is_mirrored=True)])
    assert found == [Alteration("b", (Edit.MIRRORED,)), None]


def test_of_several_originals_the_one_that_agrees_most_counts() -> None:
    grey = replace(SAME, first=replace(WHOLE, chroma=0.0))
    overlaps = [replace(grey, agreement=0.9), replace(grey, agreement=0.99), SAME]
    photos = [photo("grey"), photo("burst1"), photo("burst2")]
    found = find_versions(photos, [(0, 1), (0, 2), (1, 2)], overlaps)
    assert found == [Alteration("burst2", (Edit.BLACK_AND_WHITE,)), None, None]


def test_photos_taken_at_different_times_are_not_compared() -> None:
    vectors, miniatures = np.ones((4, 1), np.float32), np.ones((4, 32, 32), np.float32)
    timed = [
        FileFacts(4000 - 10 * place, 3000, capture_time=f"2026-05-01T10:00:0{second}")
        for place, second in enumerate((1, 2, 2))
    ]
    first, second = pairs_to_check([*timed, FileFacts()], vectors, miniatures)
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    assert pairs == {(0, 3), (1, 2), (1, 3), (2, 3)}
    alone = pairs_to_check(timed[:2], vectors[:2], miniatures[:2])
    assert [rows.tolist() for rows in alone] == [[], []]


def test_photos_of_one_size_are_compared_by_structure_only() -> None:
    vectors, miniatures = np.ones((2, 1), np.float32), np.ones((2, 32, 32), np.float32)
    for width, count in ((3000, 0), (4000, 0), (2000, 1)):
        files = [FileFacts(4000, 3000), FileFacts(width, 7000 - width)]
        assert len(pairs_to_check(files, vectors, miniatures)[0]) == count


def test_turned_and_mirrored_versions_are_compared_whatever_their_embeddings() -> None:
    rng = np.random.default_rng(1)
    scenes = [np.kron(rng.uniform(0, 255, (8, 8)), np.ones((4, 4))) for _ in range(12)]
    turned = [np.rot90(scenes[3]), scenes[3][:, ::-1], scenes[3].T]
    miniatures = np.stack([*scenes, *turned]).astype(np.float32)
    vectors = np.eye(len(miniatures), dtype=np.float32)
    first, second = pairs_to_check([FileFacts()] * len(miniatures), vectors, miniatures)
    assert {(3, 12), (3, 13), (3, 14)} <= set(zip(first.tolist(), second.tolist(), strict=True))
    unknown = np.full((1, 32, 32), np.nan, np.float32)
    assert not upright_structures(unknown).any()
