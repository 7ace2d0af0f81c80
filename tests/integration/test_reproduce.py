"""`bestshot reproduce` and `bestshot diff` report exactly the differences."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT, draw_pairs
from tests.integration.access import copy_data, served
from tests.integration.command import Curated, Finished, bestshot, curate
from tests.integration.parts import Part

COUNT = 6


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """The results of a small album with pairs of nearly identical photos."""
    base = tmp_path_factory.mktemp("reproduce")
    photos = draw_pairs(base / "photos", COUNT, 240, 180)
    return curate(photos, base / "out", base / "data")


def reproduce(done: Curated, *arguments: object) -> Finished:
    return bestshot(["reproduce", *arguments], data=done.data)


def configs(folder: Path, changes: Mapping[str, tuple[str, str]]) -> Path:
    """Returns a config folder with one change per file."""
    shutil.copytree(ROOT / "configs", folder)
    for name, (old, new) in changes.items():
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    return folder


def told(finished: Finished) -> list[str]:
    """Returns the report, without the progress bars."""
    lines = finished.text.splitlines()
    return [line for line in lines if line and " ━" not in line]


def test_an_unchanged_run_is_reproduced_completely(done: Curated) -> None:
    found = reproduce(done)
    assert found.code == 0, found.text
    assert told(found) == [
        f"identical in every field: {COUNT} of {COUNT} photos",
        "reproduced: results are identical",
    ]
    listed = bestshot(["runs"], data=done.data).text
    assert listed.count("completed") == 1, "nothing was added to the store"


def test_only_a_changed_byte_of_a_photo_and_a_changed_setting_are_reported(
    done: Curated, tmp_path: Path
) -> None:
    photo = done.photos / "03.jpg"
    content = photo.read_bytes()
    photo.write_bytes(content + b"x")
    change = {"pipeline.yaml": ("max_images_per_cluster: 2", "max_images_per_cluster: 1")}
    try:
        found = reproduce(done, "--config-dir", configs(tmp_path / "configs", change))
    finally:
        photo.write_bytes(content)
    assert found.code == 3, found.text
    assert told(found) == [
        "current settings that differ from the run's (not used):",
        "  select_best.max_images_per_cluster: 2 -> 1 (-1)",
        "photos with changed files:",
        "  03.jpg",
        f"identical in every field: {COUNT - 1} of {COUNT} photos",
        "inputs differ, as listed above",
    ]


def test_a_served_orchestrator_computes_a_new_run(
    done: Curated, services: dict[str, Part], tmp_path: Path
) -> None:
    copy_data(done, tmp_path / "served")
    with served(tmp_path / "served", services, done) as access:
        found = access.finish("reproduce", done.run["id"])
        assert found.code == 0, found.text
        assert told(found) == [
            f"identical in every field: {COUNT} of {COUNT} photos",
            f"scores from the orchestrator's cache: {COUNT} photos",
            "reproduced: results are identical",
        ]
        assert access.run("runs").count("completed") == 2, "it keeps the new run"
        # a decision since then is an input that has changed
        left = next(path for path, image in done.images.items() if not image["is_selected"])
        photo = {"content_digest": done.images[left]["content_digest"], "path": left}
        entry = {"id": "k", "action": "keep", "photos": [photo], "target": None, "undone_id": ""}
        log = tmp_path / "log.json"
        time = "2026-05-17T10:00:00+00:00"
        log.write_text(json.dumps({"entries": [{**entry, "create_time": time}]}))
        access.run("decisions", "import", log)
        text = access.run("reproduce", done.run["id"], code=3)
    assert f"decisions that have changed:\n  {left}  decision: None -> keep" in text
    assert f"{left}  is_selected: False -> True" in text
    assert "inputs differ" in text


def test_another_model_is_reported(done: Curated, tmp_path: Path) -> None:
    change = {
        "models.yaml": (
            "mean: [0.0, 0.0, 0.0]\n      std: [1.0, 1.0, 1.0]",
            "mean: [0.9, 0.0, 0.4]\n      std: [1.0, 1.0, 1.0]",
        )
    }
    found = reproduce(done, "--all", "--config-dir", configs(tmp_path / "configs", change))
    assert found.code == 3, found.text
    lines = told(found)
    assert lines[0] == "models:"
    assert lines[1].startswith("  embedding.digest: ")
    assert lines[-1] == "inputs differ, as listed above"


def test_photos_that_are_gone_are_an_error(done: Curated) -> None:
    moved = done.photos.with_name("moved")
    done.photos.rename(moved)
    try:
        found = reproduce(done)
    finally:
        moved.rename(done.photos)
    assert found.code == 1
    assert f"{done.photos} does not exist" in found.text


def test_two_runs_are_compared(done: Curated, tmp_path: Path) -> None:
    flags = [
        "--set",
        "select_best.max_images_per_cluster=1",
        "--set",
        "cluster_scenes.method=dbscan",
    ]
    arguments = ["curate", done.photos, "--out", tmp_path / "out", *flags]
    assert bestshot(arguments, data=done.data).code == 0
    first = done.run["id"]
    assert "no differences" in bestshot(["diff", first, first], data=done.data).text
    found = bestshot(["diff", first], data=done.data)
    assert found.code == 0
    assert "  select_best.max_images_per_cluster: 2 -> 1 (-1)" in found.text
    assert "cluster_scenes.method: hdbscan -> dbscan" in found.text
    assert "scores" not in found.text
    missing = bestshot(["diff", "nowhere", first], data=done.data)
    assert missing.code == 1
    assert "there is no run 'nowhere'" in missing.text
