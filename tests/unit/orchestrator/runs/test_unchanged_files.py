"""A later run reads only files that may have changed, and ends like one that reads all of them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import Engine

from orchestrator.export.metrics_csv import metrics_csv
from orchestrator.records import Album, Run
from orchestrator.runs import pipeline
from orchestrator.runs.selection import Moments, find_moments
from tests.conftest import draw_picture
from tests.unit.orchestrator.metadata.test_reader import xmp
from tests.unit.orchestrator.runs.test_worker import (
    WorkerSetup,
    album,
    engine,
    no_fault,
    set_up_worker,
)

__all__ = ["album", "engine"]


@pytest.fixture
async def curated(engine: Engine, album: Album) -> AsyncIterator[WorkerSetup]:
    """A worker that has curated the album's `0.jpg`, `1.jpg` and `2.png` once."""
    save(Path(album.folder) / "2.png", 2)
    async with set_up_worker(engine, album, no_fault) as system:
        await system.curate()
        assert sorted(system.read_paths) == ["0.jpg", "1.jpg", "2.png"]
        yield system


def save(path: Path, seed: int) -> None:
    Image.fromarray(draw_picture(seed, 160, 120)).save(path)


async def curate(system: WorkerSetup, **settings: object) -> tuple[list[str], Run]:
    """Curates the album again; returns which photos were read, and the run."""
    system.read_paths.clear()
    run = await system.curate(**settings)
    assert run.error == ""
    return sorted(system.read_paths), run


async def test_unchanged_files_are_not_read_and_all_results_are_the_same(
    curated: WorkerSetup, album: Album
) -> None:
    (first,) = curated.store.list_runs(album.id, 1, 0)
    read, second = await curate(curated)
    assert read == []
    assert second.summary is not None
    assert second.summary.cached_count == 3
    read, third = await curate(curated, find_photos={"read_unchanged": True})
    assert len(read) == 3
    tables = [metrics_csv(curated.store.images(run.id)) for run in (first, second, third)]
    assert tables[0] == tables[1] == tables[2]
    filters = {"filter_quality": {"min_iqa_score": 0.9}}
    read, other = await curate(curated, **filters)
    assert read == []
    _, again = await curate(curated, **filters, find_photos={"read_unchanged": True})
    tables = [metrics_csv(curated.store.images(run.id)) for run in (first, other, again)]
    assert tables[0] != tables[1] == tables[2]


async def test_a_change_of_the_same_size_is_read_even_if_the_time_was_set_back(
    curated: WorkerSetup, album: Album
) -> None:
    photo = Path(album.folder) / "2.png"
    before, content = photo.stat(), photo.read_bytes()
    photo.write_bytes(content[:-1] + b"!")
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))
    read, run = await curate(curated)
    assert read == ["2.png"]
    changed = curated.store.image(run.id, "2.png").content_digest
    photo.write_bytes(content)
    read, run = await curate(curated)
    assert read == ["2.png"]
    assert curated.store.image(run.id, "2.png").content_digest != changed
    os.utime(photo)
    assert (await curate(curated))[0] == ["2.png"]
    assert (await curate(curated))[0] == []


async def test_a_file_that_was_new_when_it_was_read_is_read_again(
    curated: WorkerSetup, album: Album
) -> None:
    save(Path(album.folder) / "2.png", 3)
    curated.clock_ahead_s = 0.0
    assert (await curate(curated))[0] == ["2.png"]
    assert (await curate(curated))[0] == ["2.png"]
    curated.clock_ahead_s = 11.0
    assert (await curate(curated))[0] == ["2.png"]
    assert (await curate(curated))[0] == []


async def test_a_new_sidecar_counts_although_its_photo_is_not_read(
    curated: WorkerSetup, album: Album
) -> None:
    sidecar = Path(album.folder) / "1.xmp"
    for rating in (4, -1):
        sidecar.write_bytes(xmp(xmp_Rating=str(rating)))
        read, run = await curate(curated)
        assert read == []
        assert curated.store.image(run.id, "1.jpg").owner_mark.rating == rating
    sidecar.write_bytes(b"<x:xmpmeta")
    read, run = await curate(curated)
    assert read == []
    assert "1.xmp" in "".join(run.notes)
    sidecar.unlink()
    read, run = await curate(curated)
    assert curated.store.image(run.id, "1.jpg").owner_mark.rating is None


async def test_files_that_are_new_gone_renamed_or_damaged(
    curated: WorkerSetup, album: Album
) -> None:
    folder = Path(album.folder)
    os.replace(folder / "1.jpg", folder / "renamed.jpg")
    os.replace(folder / "2.png", folder / "0.jpg")
    save(folder / "new.jpg", 4)
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    read, run = await curate(curated)
    assert read == ["0.jpg", "new.jpg", "renamed.jpg", "torn.jpg"]
    assert run.summary is not None
    assert (run.summary.cached_count, run.summary.unreadable_count) == (2, 1)
    assert (await curate(curated))[0] == ["torn.jpg"]


async def test_moments_are_found_again_only_if_something_differs(
    curated: WorkerSetup, album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []

    def note(embeddings: Any, *rest: Any) -> Moments:
        found.append(len(embeddings))
        return find_moments(embeddings, *rest)

    versions = {"bestshot": "1"}
    monkeypatch.setattr(pipeline, "find_moments", note)
    monkeypatch.setattr(pipeline, "find_versions", lambda: versions)
    runs = []
    for settings, count in (
        ({}, 1),
        ({}, 1),
        ({"select_best": {"max_images_per_cluster": 1}}, 1),
        ({"cluster_scenes": {"min_samples": 3}}, 2),
        ({"keep_sets": {"bursts": "ignore"}}, 3),
        ({}, 3),
    ):
        runs.append((await curate(curated, **settings))[1])
        assert len(found) == count
    tables = [metrics_csv(curated.store.images(run.id)) for run in runs]
    assert tables[0] == tables[1] == tables[5]
    assert runs[0].notes[1:] == runs[1].notes[1:] == runs[5].notes[1:]
    (Path(album.folder) / "1.xmp").write_bytes(xmp(exif_DateTimeOriginal="2024-05-01T08:00:00"))
    await curate(curated)
    assert len(found) == 4
    versions["bestshot"] = "2"
    await curate(curated)
    versions["git_revision"] = "abc-dirty"
    await curate(curated)
    await curate(curated)
    assert len(found) == 7
