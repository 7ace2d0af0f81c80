from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.records import ImageRecord
from orchestrator.review.run_diff import Change, compare_runs, regroupings
from tests.unit.orchestrator.storage.test_storage import image, run
from tests.unit.values import face, quality

labelings = st.lists(st.integers(-1, 3), min_size=1, max_size=9)


def photo(path: str, **changes: object) -> ImageRecord:
    return image(path, **{"quality": quality(), "cluster_id": 0, **changes})


def labelled(labels: list[int]) -> dict[str, ImageRecord]:
    return {f"{n}.jpg": photo(f"{n}.jpg", cluster_id=label) for n, label in enumerate(labels)}


def test_a_run_does_not_differ_from_itself() -> None:
    records = [photo("a"), photo("b", faces=(face(),), is_selected=True), image("c", error="torn")]
    diff = compare_runs(run(), records, run(), records)
    assert diff.is_same
    assert not diff.regroupings


def test_every_difference_is_reported_with_its_size() -> None:
    before = photo("a", faces=(face(),), quality=quality(iqa_score=0.5), is_selected=True)
    after = photo("a", faces=(face(smile_score=0.25),), quality=quality(iqa_score=0.75))
    diff = compare_runs(run(), [before], run(), [after])
    assert [(change.field, change.difference) for change in diff.results] == [
        ("faces.0.smile_score", -0.75),
        ("is_selected", None),
        ("quality.iqa_score", 0.25),
    ]
    assert diff.is_same_input
    assert not diff.is_same
    assert diff.lost_paths == ("a",)
    assert diff.gained_paths == ()


def test_a_sidecar_that_an_export_added_does_not_change_the_photo() -> None:
    before = photo("a.jpg", companion_paths=("a.dng",))
    after = photo("a.jpg", companion_paths=("a.dng", "a.xmp"))
    assert compare_runs(run(), [before], run(), [after]).is_same
    without = photo("a.jpg", companion_paths=("a.xmp",))
    assert compare_runs(run(), [before], run(), [without]).changed_files == ("a.jpg",)


def test_differences_of_inputs_and_results_are_distinguished() -> None:
    second = dataclasses.replace(
        run(),
        config={"a": {"b": 0.2}},
        models={"face": {"id": "f", "digest": "1"}},
        versions={"numpy": "3"},
    )
    diff = compare_runs(
        run(),
        [photo("a"), photo("gone"), photo("edited")],
        second,
        [photo("a"), photo("new"), photo("edited", content_digest="other", width_px=9)],
    )
    assert diff.settings == (Change("", "a.b", 0.1, 0.2),)
    assert diff.models == (Change("", "face.digest", None, "1"),)
    assert diff.versions == (Change("", "numpy", "2", "3"),)
    assert (diff.added_paths, diff.removed_paths) == (("new",), ("gone",))
    assert diff.changed_files == ("edited",)
    assert diff.results == (Change("edited", "width_px", 0, 9),)
    assert not diff.is_same_input


def test_moments_are_split_merged_and_regrouped() -> None:
    before = labelled([0, 0, 0, 1, 1, -1, 2, 2])
    after = labelled([0, 0, 5, 3, 3, 3, 2, 2])
    found = list(regroupings(before, after))
    assert [one.kind for one in found] == ["split", "merged"]
    assert found[0].after == (("0.jpg", "1.jpg"), ("2.jpg",))
    assert found[1].before == (("3.jpg", "4.jpg"), ("5.jpg",))
    (mixed,) = regroupings(labelled([0, 0, 1, 1]), labelled([0, 1, 1, -1]))
    assert mixed.kind == "regrouped"


@given(labelings)
def test_new_numbers_for_the_same_moments_are_not_a_change(labels: list[int]) -> None:
    renamed = [label if label < 0 else 7 - label for label in labels]
    assert list(regroupings(labelled(labels), labelled(renamed))) == []


@given(st.data())
def test_a_diff_is_symmetric(data: st.DataObject) -> None:
    first = data.draw(labelings)
    second = data.draw(st.lists(st.integers(-1, 3), min_size=len(first), max_size=len(first)))
    there = list(regroupings(labelled(first), labelled(second)))
    back = list(regroupings(labelled(second), labelled(first)))
    assert [(one.before, one.after) for one in there] == [(one.after, one.before) for one in back]
    photos = [path for one in there for moment in one.before for path in moment]
    assert len(photos) == len(set(photos))


def test_the_same_model_from_another_source_is_not_a_change() -> None:
    earlier = {"face": {"digest": "1"}}  # before sources were recorded
    later = {"face": {"digest": "1", "file_sources": ["a wheel"]}}
    runs = [dataclasses.replace(run(), models=models) for models in (earlier, later)]
    assert compare_runs(runs[0], [], runs[1], []).is_same
