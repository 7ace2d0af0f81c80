"""`bestshot decisions`, `evaluate`, `tune` and `explain`, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser.conftest import make_shots
from tests.integration.access import Access, copy_data, served
from tests.integration.command import Curated, curate


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """Four scenes of three or four shots each."""
    base = tmp_path_factory.mktemp("decisions")
    make_shots(base / "photos")
    for path in (base / "photos").glob("*-*.jpg"):  # halved, because work grows with the area
        with Image.open(path) as picture:
            small = picture.reduce(2)
        small.save(path, quality=92)
    curated = curate(base / "photos", base / "out", base / "data")
    copy_data(curated, base / "served")
    return curated


@pytest.fixture(scope="module", params=["local", "served"])
def done(request: pytest.FixtureRequest, once: Curated) -> Iterator[Access]:
    """These runs, accessed in their data folder and through an orchestrator with a copy of it."""
    base = once.data.parent
    if request.param == "local":
        yield Access(once)
        return
    with served(base / "served", request.getfixturevalue("services"), once) as access:
        yield access


def run(done: Access, *arguments: object, code: int = 0) -> str:
    return done.run(*arguments, code=code)


def entry(name: str, action: str, *photos: dict[str, str], **more: Any) -> dict[str, Any]:
    time = "2026-05-17T10:00:00.123456+00:00"
    values = {"id": name, "action": action, "photos": list(photos), "create_time": time}
    rest = {
        "target": None,
        "undone_id": "",
        "decided_by": "ansel",
        "stars": 0,
        "label": "",
        "run_id": "",
    }
    return {**values, **rest, **more}


def test_decisions_are_imported_applied_evaluated_undone_and_exported(
    done: Access, tmp_path: Path
) -> None:
    photos = {
        path: {"content_digest": image["content_digest"], "path": path}
        for path, image in done.images.items()
    }
    scored = {path: image for path, image in done.images.items() if image["quality"]}
    moments = {image["cluster_id"] for image in scored.values()}
    assert len(moments) == 4
    selected = [path for path, image in scored.items() if image["is_selected"]]
    left = [path for path, image in scored.items() if not image["is_selected"]]
    assert "no decisions on" in run(done, "evaluate", code=1)
    assert "there is no decision to undo" in run(done, "decisions", "undo", code=1)

    # the user reverses every choice except one, and merges two moments
    first, last = left[0], left[-1]
    entries = [
        *(entry(f"k{n}", "keep", photos[path]) for n, path in enumerate(left)),
        *(entry(f"r{n}", "reject", photos[path]) for n, path in enumerate(selected[:-1])),
        entry("same", "keep", photos[selected[-1]]),
        entry("merge", "merge", photos[first], photos[last]),
    ]
    log = tmp_path / "log.json"
    log.write_text(json.dumps({"entries": entries}))
    told = run(done, "decisions", "import", log)
    assert f"added {len(entries)} of {len(entries)} entries" in told
    assert f"added 0 of {len(entries)} entries" in run(done, "decisions", "import", log)
    again = tmp_path / "again.json"
    run(done, "decisions", "export", again)
    assert json.loads(again.read_text()) == {"entries": entries}, "nothing is lost"
    listed = run(done, "decisions", "list")
    assert f"merge the moments of {first}, {last}" in listed

    done.curate(tmp_path / "out")
    after = Curated(done.photos, tmp_path / "out", done.data, "").images
    assert all(after[path]["is_selected"] for path in left)
    assert not any(after[path]["is_selected"] for path in selected[:-1])
    assert after[first]["cluster_id"] == after[last]["cluster_id"]
    assert after[first]["machine_cluster_id"] != after[last]["machine_cluster_id"]
    why = run(done, "explain", first)
    assert f"you kept it; you merged its moment with the moment of {last}" in why

    assert "reproduced: results are identical" in run(done, "reproduce")

    found = run(done, "evaluate")
    count = len(scored)
    assert f"the algorithm agrees with you on 1 of {count} decisions" in found
    assert f"you kept 1 of its {len(selected)} picks" in found
    assert f"it picks 1 of the {len(left) + 1} photos that you kept" in found
    assert f"you kept {first}. Not selected" in found
    assert "you changed the moment of" in found
    too_few = f"need at least 10 decisions in 5 moments to tune; this run has {count} decisions in"
    assert too_few in run(done, "tune", code=1)

    assert run(done, "decisions", "undo").strip() == f"undo: merge the moments of {first}, {last}"
    assert f"undo: keep {first}" in run(done, "decisions", "undo", "k0")
    assert f"[keep {first}]" in run(done, "decisions", "list")
    assert "already undone" in run(done, "decisions", "undo", "k0", code=1)
    assert "'r' is ambiguous" in run(done, "decisions", "undo", "r", code=2)


def test_answers_about_pairs_are_imported_counted_and_undone(done: Access, tmp_path: Path) -> None:
    def progress() -> str:
        return run(done, "tune", "--pairs")

    assert "0 pairs answered" in progress()
    photos = [
        {"content_digest": image["content_digest"], "path": path}
        for path, image in done.images.items()
        if image["quality"]
    ]
    file = tmp_path / "answers.json"
    answers = [
        entry("a1", "prefer", photos[0], photos[1], run_id="r"),
        entry("a2", "unsure", photos[1], photos[2]),
        entry("a22", "unsure", photos[0], photos[2]),
    ]
    file.write_text(json.dumps({"entries": answers}))
    assert "added 3 of 3 entries" in run(done, "decisions", "import", file)
    assert f"prefer {photos[0]['path']} to {photos[1]['path']}" in run(done, "decisions", "list")
    assert "3 pairs answered" in progress()
    assert "Too few answers to learn from: 1 choice in 1 moment" in progress()
    assert "nothing to save" in run(done, "tune", "--pairs", "--keep", "mine", code=1)
    assert "--keep needs --pairs" in run(done, "tune", "--keep", "mine", code=2)
    run(done, "decisions", "undo", "a1")
    run(done, "decisions", "undo", "a2")  # not the start of a22's ID
    run(done, "decisions", "undo", "a22")
    assert "0 pairs answered" in progress()


def test_a_run_is_exported_in_every_form(done: Access, tmp_path: Path) -> None:
    kinds = ("csv", "json", "parquet", "xmp-zip", "selected-zip")
    for kind in kinds:
        run(done, "export", "--out", tmp_path / kind, "--as", kind)
        assert (tmp_path / kind).stat().st_size > 500
    run(done, "export", "--out", tmp_path / "out", "--xmp", "--parquet")
    exported = Curated(done.photos, tmp_path / "out", done.data, "").images
    selected = {path for path, image in exported.items() if image["is_selected"]}
    for way in ("symlink", "hardlink"):
        if done.is_served:
            refused = run(done, "export", "--out", tmp_path / "x", "--selected", way, code=2)
            assert "the machine that has the photos" in refused
    for way in ("copy",) if done.is_served else ("symlink", "hardlink", "copy"):
        text = run(done, "export", "--out", tmp_path / "out", "--selected", way, "--xmp")
        for path in selected:
            place = tmp_path / "out" / "selected" / path
            assert place.read_bytes() == (done.photos / path).read_bytes()
            assert place.is_symlink() == (way == "symlink")
            assert place.samefile(done.photos / path) == (way != "copy")
            names = {place.with_suffix(".xmp"), place.with_name(f"{place.name}.xmp")}
            assert any(name.exists() for name in names)  # named like the one beside the photo
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {
        *("image_metrics.csv", "image_metrics.parquet", "results.json", "run.json", "index.html"),
        *("thumbnails", "selected", "xmp", ".bestshot-manifest.json"),
    }
    assert "photos" in text
    if done.is_served:
        assert "the machine that has the photos" in run(
            done, "export", "--out", tmp_path / "x", "--xmp-beside-photos", code=2
        )
        assert not (tmp_path / "x").exists()
        return
    (done.photos / "letter.xmp").write_text("a letter that could not be read")
    (done.photos / f"{min(selected)}.xmp").write_text("torn")
    beside = run(done, "export", "--out", tmp_path / "out", "--xmp-beside-photos")
    assert f"{min(selected)}.xmp unchanged: it is not XML" in beside
    assert (done.photos / f"{min(selected)}.xmp").read_text() == "torn"
    other = max(selected)
    assert b"bestshot:Rating" in (done.photos / other).with_suffix(".xmp").read_bytes()
    assert "is inside the album" in run(
        done, "export", "--out", done.photos / "x", "--selected", "copy", code=1
    )
    assert "cannot write" in run(done, "export", "--out", "/proc/x/y", "--as", "csv", code=1)


def test_mistakes_are_reported(done: Access, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"entries": [{"id": "x"}]}')
    assert "entries.0.action is missing" in run(done, "decisions", "import", bad, code=1)
    missing = tmp_path / "missing.json"
    assert "cannot read" in run(done, "decisions", "import", missing, code=2)
    photo = done.photos / min(done.images)
    content = photo.read_bytes()
    for command in (
        ("decisions", "export", photo),
        ("export", "--force", "--as", "csv", "--out", photo),
    ):
        assert "belongs to the album" in run(done, *command, code=1)
    assert photo.read_bytes() == content
    assert "there is no album" in run(done, "decisions", "list", "--album", tmp_path, code=1)
    assert "there is no photo 'none.jpg'" in run(done, "explain", "none.jpg", code=1)


def shown(done: Access) -> dict[str, Any]:
    """Returns the newest run's photos, by path."""
    found = json.loads(run(done, "show", "--json"))
    return {image["path"]: image for image in found["images"]}


def test_photos_are_kept_rejected_and_cleared_by_name_and_by_file(done: Access) -> None:
    before = shown(done)
    readable = [path for path, image in before.items() if image["quality"]]
    first, second = readable[:2]
    assert "kept 1 photo;" in run(done, "keep", first)
    assert "rejected 2 photos;" in run(done, "reject", done.photos / first, second)
    after = shown(done)
    assert not after[first]["is_selected"]
    assert after[first]["reason_code"] == after[second]["reason_code"] == "USER_REJECT"
    listed = json.loads(run(done, "decisions", "list", "--json"))["entries"]
    assert [entry["action"] for entry in listed[-2:]] == ["keep", "reject"]
    assert "cleared the decisions on 2 photos;" in run(done, "clear", first, second)
    assert shown(done)[first]["reason_code"] != "USER_REJECT"
    assert "there is no photo 'absent.jpg'" in run(done, "keep", "absent.jpg", code=1)
    assert "cannot be combined with other photos" in run(done, "keep", "-", first, code=2)


def test_every_report_prints_json(done: Access) -> None:
    photo = next(iter(done.images))
    runs = json.loads(run(done, "runs", "--json"))
    run_id = runs["runs"][0]["id"]
    assert runs["albums"][runs["runs"][0]["album_id"]] == str(done.photos)
    explained = json.loads(run(done, "explain", photo, "--json"))
    assert explained["explanation"]["lines"]
    found = json.loads(run(done, "diff", run_id, run_id, "--json"))
    assert found["run_id"] == found["other_run_id"] == run_id
    assert found["diff"]["photos"] == found["diff"]["lost_paths"] == []


def test_quiet_reports_print_what_scripts_need(done: Access) -> None:
    run_id = json.loads(run(done, "runs", "--json"))["runs"][0]["id"]
    assert run(done, "runs", "-q").splitlines()[0] == run_id
    selected = [path for path, image in shown(done).items() if image["is_selected"]]
    assert run(done, "show", "--quiet").splitlines() == selected
    assert run_id not in run(done, "explain", "-q", selected[0])
    entries = json.loads(run(done, "decisions", "list", "--json"))["entries"]
    assert run(done, "decisions", "list", "-q").splitlines() == [one["id"] for one in entries]
    assert run(done, "reselect", "--preview", "-q") == ""


def test_an_export_names_the_photos_that_have_changed(done: Access, tmp_path: Path) -> None:
    run(done, "export", "--out", tmp_path / "json", "--as", "json")
    images = json.loads((tmp_path / "json").read_text())["images"]
    path = next(image["path"] for image in images if image["is_selected"])
    photo = done.photos / path
    before = photo.read_bytes()
    photo.write_bytes(before + b"edited")
    try:
        zipped = run(done, "export", "--out", tmp_path / "zip", "--as", "selected-zip")
        copied = run(done, "export", "--out", tmp_path / "out", "--selected", "copy", "--xmp")
    finally:
        photo.write_bytes(before)
    assert f"skipped {path}: it has changed since it was scored" in zipped
    assert f"/{path}: it has changed since it was scored" in copied
