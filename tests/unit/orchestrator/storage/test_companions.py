"""Files that belong together and edited versions, by the names that cameras and programs use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.storage.companions import group_files


def companions(*names: str) -> dict[str, list[str]]:
    return {group.photo: group.companions for group in group_files(names)}


def versions(*names: str) -> dict[str, str]:
    found = group_files(names)
    return {group.photo: group.version_of for group in found if group.version_of}


def test_a_pair_may_differ_in_case() -> None:
    assert companions("IMG_1.JPG", "img_1.dng", "img_1.MOV") == {
        "IMG_1.JPG": ["img_1.dng", "img_1.MOV"]
    }
    assert companions("A.JPG", "a.jpg", "A.dng", "a.dng") == {
        "A.JPG": ["A.dng"],
        "a.jpg": ["a.dng"],
    }
    assert companions("caf\u00e9.jpg", "cafe\u0301.dng") == {"caf\u00e9.jpg": ["cafe\u0301.dng"]}
    assert companions("IMG_1.jpg", "IMG_10.dng") == {"IMG_1.jpg": [], "IMG_10.dng": []}


def test_pixel_phones_name_the_files_of_one_shot_differently() -> None:
    shot = "PXL_20250126_164931991"
    for cover in ("RAW-01.COVER", "RAW-01.MP.COVER", "RAW-01", "MP"):
        for raw in (f"{shot}.RAW-02.ORIGINAL.dng", f"{shot}.dng"):
            assert companions(f"{shot}.{cover}.jpg", raw) == {f"{shot}.{cover}.jpg": [raw]}
    assert companions(f"{shot}.MP.jpg", f"{shot}.MP") == {f"{shot}.MP.jpg": [f"{shot}.MP"]}
    other = "PXL_20250126_164931992.RAW-02.ORIGINAL.dng"
    assert companions(f"{shot}.RAW-01.COVER.jpg", other) == {
        f"{shot}.RAW-01.COVER.jpg": [],
        other: [],
    }


def test_sidecars_belong_to_the_photo_or_companion_that_they_name() -> None:
    found = companions(
        *("P1.jpg", "P1.dng", "P1.xmp", "P1.dng.xmp", "p1.JPG.XMP", "P1.jpg.pp3", "P1.dng.dop"),
        *("Q.nef", "Q.xmp", "other.xmp", "P2.jpg", "P2.png", "P2.png.xmp"),
    )
    assert found == {
        "P1.jpg": ["P1.dng", "P1.dng.dop", "P1.dng.xmp", "P1.jpg.pp3", "P1.xmp", "p1.JPG.XMP"],
        "P2.jpg": [],
        "P2.png": ["P2.png.xmp"],
        "Q.nef": ["Q.xmp"],
    }


def test_apples_edits_of_an_original_stay_with_it() -> None:
    assert companions("IMG_1.HEIC", "IMG_1.AAE", "IMG_O1.AAE", "IMG_E1.HEIC", "IMG_E1.MOV") == {
        "IMG_1.HEIC": ["IMG_1.AAE", "IMG_O1.AAE"],
        "IMG_E1.HEIC": ["IMG_E1.MOV"],
    }


@pytest.mark.parametrize(
    ("edited", "original"),
    [
        ("IMG_E1234.JPG", "IMG_1234.HEIC"),
        ("PXL_20250126_164931991~2.jpg", "PXL_20250126_164931991.jpg"),
        ("PXL_1.RAW-01.COVER~2.jpg", "PXL_1.RAW-01.MP.COVER.jpg"),
        ("PXL_1.PORTRAIT-01.COVER.jpg", "PXL_1.PORTRAIT-02.ORIGINAL.jpg"),
        ("a-edited.jpg", "a.jpg"),
        ("a-EDITED~2.jpg", "A.jpg"),
        ("a-bearbeitet.jpg", "a.jpg"),
        ("a-modifie\u0301.jpg", "a.jpg"),
        ("a-edited(1).jpg", "a(1).jpg"),
        ("DSC_1-Edit-2.tif", "DSC_1.NEF"),
        ("a.jpg", "a_original.jpg"),
        ("a-edited.jpg", "a_original.jpg"),
    ],
)
def test_an_edited_copy_is_a_version_of_its_original(edited: str, original: str) -> None:
    assert versions(edited, original) == {edited: original}
    assert versions(edited) == {}
    assert versions(original) == {}


def test_versions_belong_to_the_first_photo_of_the_same_format() -> None:
    assert versions("a.jpg", "a~2.jpg", "a~2-edited.jpg", "a~3.heic", "a.heic") == {
        "a~2.jpg": "a.jpg",
        "a~2-edited.jpg": "a.jpg",
        "a~3.heic": "a.heic",
    }


def test_a_number_in_brackets_does_not_mark_a_version() -> None:
    assert versions("a.jpg", "a(1).jpg", "a (2).jpg", "a - Copy.jpg", "a-2.jpg", "a_E1.jpg") == {}


pieces = st.sampled_from(
    [
        *("IMG_1", "img_1", "IMG_E1", "PXL_1", ".RAW-01", ".MP", ".COVER", ".RAW-02.ORIGINAL"),
        *(".PORTRAIT-01.COVER", ".PORTRAIT-02.ORIGINAL", "~2", "-edited", "_original", "(1)", ""),
    ]
)
suffixes = st.sampled_from(
    [".jpg", ".JPG", ".dng", ".mov", ".xmp", ".jpg.xmp", ".dng.xmp", ".aae", ".psd", ".txt", ""]
)
names = st.builds(lambda *parts: "".join(parts), pieces, pieces, pieces, suffixes).filter(
    lambda name: name[:1] not in ("", ".")
)


@given(st.lists(names, unique=True, max_size=20))
def test_no_picture_is_lost_or_shown_twice_and_versions_never_form_a_cycle(
    found: list[str],
) -> None:
    groups = group_files(found)
    listed = [name for group in groups for name in (group.photo, *group.companions)]
    assert len(set(listed)) == len(listed)
    assert set(listed) <= set(found)
    is_picture = (".jpg", ".dng", ".psd")
    assert {name for name in found if name.lower().endswith(is_picture)} <= set(listed)
    originals = {group.photo: group.version_of for group in groups}
    for photo in originals:
        walked = {photo}
        while photo := originals[photo]:
            assert photo not in walked
            walked.add(photo)
    assert groups == group_files(found[::-1])
