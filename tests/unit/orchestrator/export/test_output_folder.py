"""Exports change only their own files, no matter what the output folder is or contains."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import io
import itertools
import json
import os
import resource
import signal
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from orchestrator.cli.demo import make_album as make_demo_album
from orchestrator.export import album_places, mounts
from orchestrator.export.download import SKIPPED_NAME, DownloadFormat, download
from orchestrator.export.downloaded import DownloadedSource
from orchestrator.export.exporter import Exported, ExportOptions, export_run, write_export
from orchestrator.export.files import FileTransfer, write_file
from orchestrator.export.output_folder import (
    CURATE_LOCK,
    EXPORT_LOCK,
    MANIFEST_NAME,
    open_output,
)
from orchestrator.export.sidecars import write_sidecars_beside
from orchestrator.export.xmp import sidecar
from orchestrator.metrics import RunMetrics
from orchestrator.records import Album, ImageRecord, Run, RunState, RunSummary, utc_now
from orchestrator.runs.stored_features import thumbnail_key
from orchestrator.storage.database import open_database
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.photo_source import FolderPhotoSource
from services.common.errors import (
    BestshotError,
    FailedPreconditionError,
    InvalidArgumentError,
    InvalidImageError,
)
from tests.unit.values import quality

NAMES = ("a.jpg", "b.jpg", "sub/c.jpg", "d.jpg")
COPY = ExportOptions(FileTransfer.COPY)
RUN = Run(
    "run",
    "album",
    RunState.COMPLETED,
    "builtin",
    {},
    {},
    {},
    utc_now(),
    summary=RunSummary(4, 0, 1, 0, 4, 0, 1.0),
)


def content_of(name: str) -> bytes:
    return f"the photo {name}".encode() * 99


def digest_of(name: str) -> str:
    return hashlib.sha256(content_of(name)).hexdigest()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlFeatureCache]:
    engine = open_database(tmp_path_factory.mktemp("data"))
    found = SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    found.put({thumbnail_key(digest_of(name)): b"a JPEG" for name in NAMES})
    yield found
    engine.dispose()


def make_album(folder: Path) -> Album:
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content_of(name))
    return Album("album", "Trip", str(folder), utc_now())


def records(*selected: str, companions: tuple[str, ...] = ()) -> list[ImageRecord]:
    return [
        ImageRecord(
            name,
            digest_of(name),
            1,
            quality=quality(),
            cluster_id=0,
            composite_score=0.5,
            is_selected=name in selected,
            companion_paths=companions if name == "a.jpg" else (),
        )
        for name in NAMES
    ]


def export(
    album: Album,
    cache: SqlFeatureCache,
    out: Path,
    options: ExportOptions = COPY,
    found: list[ImageRecord] | None = None,
    roots: tuple[Path, ...] = (),
) -> Exported:
    return export_run(album, RUN, found or records(*NAMES), cache, out, options, roots=roots)


def tree(*folders: Path, but: tuple[Path, ...] = ()) -> dict[str, str]:
    """Returns all files below the folders with their digests, and all links with their targets."""
    paths = itertools.chain(*(folder.rglob("*") for folder in folders))
    return {
        str(path): f"link to {os.readlink(path)}"
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if (path.is_symlink() or path.is_file())
        and not any(path.is_relative_to(other) for other in but)
    }


PLACES = (
    *("same", "parent", "child", "link to it", "link to its parent", "linked selected"),
    *("linked sub-folder", "linked thumbnails", "hard links", "linked files", "beside"),
)
PLANTED = (
    "../photos/a.jpg",
    "{album}/b.jpg",
    "../outside/thesis.txt",
    "selected/../../photos/d.jpg",
)


LINKS = {
    "link to it": ("", "photos"),
    "link to its parent": ("", "."),
    "linked selected": ("selected", "photos"),
    "linked sub-folder": ("selected/sub", "photos/sub"),
    "linked thumbnails": ("thumbnails", "outside"),
}
FOLDERS = {"same": "photos", "parent": ".", "child": "photos/results"}


def place_output(kind: str, base: Path, photos: Path) -> Path:
    out = base / "out"
    if kind in FOLDERS:
        return base / FOLDERS[kind]
    if kind in LINKS:
        name, target = LINKS[kind]
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).symlink_to(base / target)
    elif kind in ("hard links", "linked files"):
        link = os.link if kind == "hard links" else os.symlink
        for name in (*NAMES, "../index.html", "../image_metrics.csv", f"../{MANIFEST_NAME}"):
            target_place = Path(os.path.normpath(out / "selected" / name))
            target_place.parent.mkdir(parents=True, exist_ok=True)
            link(photos / (name if name in NAMES else "a.jpg"), target_place)
        link(base / "outside" / "thesis.txt", out / EXPORT_LOCK)
    else:
        out.mkdir()
    return out


def plant(out: Path, photos: Path) -> None:
    """Plants forged records that name files in the album and outside it."""
    paths = [path.format(album=photos) for path in PLANTED]
    images = [{"path": path, "companion_paths": [], "is_selected": True} for path in paths]
    entries: dict[str, object] = {
        f"selected/{path}": [{"sha256": digest_of(name), "size": len(content_of(name))}]
        for path in paths
        for name in NAMES
    }
    manifest = {
        "written_by": "bestshot",
        "format": 1,
        "files": {**entries, "/": 1, "..": [1], "\ud800": []},
    }
    for name, content in (("results.json", {"images": images}), (MANIFEST_NAME, manifest)):
        if not os.path.lexists(out / name):
            (out / name).write_text(json.dumps(content))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(PLACES),
    transfer=st.sampled_from([None, *FileTransfer]),
    is_planted=st.booleans(),
    force=st.booleans(),
    xmp=st.booleans(),
)
def test_no_export_changes_an_album_or_anything_outside(
    tmp_path_factory: pytest.TempPathFactory,
    cache: SqlFeatureCache,
    kind: str,
    transfer: FileTransfer | None,
    is_planted: bool,
    force: bool,
    xmp: bool,
) -> None:
    base = tmp_path_factory.mktemp("world")
    photos = base / "photos"
    album = make_album(photos)
    (base / "outside").mkdir()
    (base / "outside" / "thesis.txt").write_text("mine")
    out = place_output(kind, base, photos)
    if is_planted and kind not in ("same", "link to it", "child"):
        plant(out, photos)
    own = () if kind in ("same", "parent", "child") or out.is_symlink() else (out,)
    before = tree(base, but=own)
    options = ExportOptions(transfer, write_xmp=xmp, force=force)
    done = 0
    for selected in (NAMES, NAMES[:1]):
        try:
            export(album, cache, out, options, records(*selected))
            done += 1
        except InvalidArgumentError:
            pass
    assert tree(base, but=own) == before
    assert (done == 2) or kind != "beside" or (is_planted and not force)


def test_only_own_copies_are_removed(tmp_path: Path, cache: SqlFeatureCache) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    export(album, cache, out)
    (out / "selected" / "mine.jpg").write_bytes(b"mine")
    (out / "selected" / "b.jpg").write_bytes(b"edited")
    done = export(album, cache, out, found=records("a.jpg"))
    assert done.warnings == [
        f"did not remove {out / 'selected/b.jpg'}: it has changed since it was written"
    ]
    left = {path.name for path in (out / "selected").rglob("*.jpg")}
    assert left == {"a.jpg", "b.jpg", "mine.jpg"}


@pytest.mark.parametrize("transfer", FileTransfer)
def test_curating_the_picks_again_keeps_them(
    tmp_path: Path, cache: SqlFeatureCache, transfer: FileTransfer
) -> None:
    picks = tmp_path / "out" / "selected"
    album = make_album(picks)
    before = tree(tmp_path)
    for folder in (tmp_path / "out", picks.parent / "selected" / "sub"):
        with pytest.raises(InvalidArgumentError, match="the album"):
            export(album, cache, folder, ExportOptions(transfer, force=True))
    assert tree(tmp_path) == before


@contextlib.contextmanager
def mounted(source: Path, point: Path) -> Iterator[None]:
    bind = ["mount", "--bind", source, point]
    if subprocess.run(bind, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting needs root and the permission to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", point], check=True)


MOUNTED = {
    "the output is a folder of the album": ("photos/sub", "out"),
    "the output is a folder without photos": ("photos/notes", "out"),
    "the output is below a folder without photos": ("photos/notes", "out/.."),
    "a folder of the output is the album's": ("photos/notes/drafts", "out/selected"),
    "the album has the output as a folder": ("out", "photos/notes"),
    "the album has a folder of the output": ("out/selected", "photos/notes/drafts"),
    "the album has a folder around the output": ("out/..", "photos/notes"),
}


@pytest.mark.parametrize("is_own", [True, False])
@pytest.mark.parametrize(("source", "point"), MOUNTED.values(), ids=MOUNTED)
def test_a_mount_between_album_and_output_is_recognized(
    tmp_path: Path, cache: SqlFeatureCache, source: str, point: str, *, is_own: bool
) -> None:
    base = tmp_path / "base with spaces"
    album, other = make_album(base / "photos"), make_album(tmp_path / "other")
    out = base / "results" / "out"
    for folder in ("selected", "elsewhere"):
        (out / folder).mkdir(parents=True)
    (base / "photos" / "notes" / "drafts").mkdir(parents=True)
    places = {"photos": base / "photos", "out": out}
    real, place = (
        Path(os.path.normpath(places[name.split("/")[0]].joinpath(*name.split("/")[1:])))
        for name in (source, point)
    )
    before = tree(base)
    with mounted(real, place), pytest.raises(InvalidArgumentError, match="in common"):
        export_run(
            album if is_own else other,
            RUN,
            records(*NAMES),
            cache,
            out if out.exists() else out / "new",
            ExportOptions(FileTransfer.COPY, force=True),
            other_albums=[Path(one.folder) for one in (album, other)],
        )
    assert tree(base) == before


@pytest.mark.parametrize("place", ["out", "out/selected", "out/selected/sub"])
def test_folders_with_photos_are_recognized_if_mounts_are_unknown(
    tmp_path: Path, cache: SqlFeatureCache, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "absent")
    album = make_album(tmp_path / "photos")
    (tmp_path / place).mkdir(parents=True)
    before = tree(tmp_path / "photos")
    with (
        mounted(tmp_path / "photos" / "sub", tmp_path / place),
        pytest.raises(InvalidArgumentError, match="is a folder of the album"),
    ):
        export(album, cache, tmp_path / "out", ExportOptions(FileTransfer.COPY, force=True))
    assert tree(tmp_path / "photos") == before


def test_mounts_of_other_folders_are_allowed(tmp_path: Path, cache: SqlFeatureCache) -> None:
    album = make_album(tmp_path / "disk" / "photos")
    (tmp_path / "disk" / "results").mkdir()
    (tmp_path / "out").mkdir()
    with mounted(tmp_path / "disk" / "results", tmp_path / "out"):
        export(album, cache, tmp_path / "out")
    assert (tmp_path / "disk" / "results" / "selected" / "a.jpg").exists()


def test_an_album_of_another_run_is_safe_too(tmp_path: Path, cache: SqlFeatureCache) -> None:
    album = make_album(tmp_path / "photos")
    other = tmp_path / "out" / "selected"
    for out in (other, other.parent, other / "sub"):
        with pytest.raises(InvalidArgumentError, match=f"the album {other}"):
            export_run(album, RUN, records(), cache, out, COPY, other_albums=[other])
    assert not other.parent.exists()


@pytest.mark.parametrize("place", ["photos", ".", "photos/sub"])
def test_another_album_is_recognized_under_another_path(
    tmp_path: Path, cache: SqlFeatureCache, place: str
) -> None:
    """This happens with mounts, and with file systems that ignore case."""
    album = make_album(tmp_path / "own")
    world, out = tmp_path / "world", tmp_path / "out"
    make_album(world / "photos")
    others = [Path("/absent"), world / "photos"]
    before = tree(world)
    out.mkdir()
    with mounted(world / place, out):
        for folder in [out] if place == "." else [out, out / "new"]:
            with pytest.raises(InvalidArgumentError, match="the album"):
                export_run(album, RUN, records(), cache, folder, COPY, other_albums=others)
        inside = {"photos": "a.jpg", ".": "photos/a.jpg", "photos/sub": "c.jpg"}[place]
        with pytest.raises(InvalidArgumentError, match="belongs to the album"):
            write_file(out / inside, io.BytesIO(b"new"), albums=others, force=True)
    assert tree(world) == before


def test_an_album_whose_disk_hangs_does_not_block_exports(
    tmp_path: Path, cache: SqlFeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    album, other = make_album(tmp_path / "photos"), tmp_path / "other"
    other.mkdir()
    end, stat, hung = threading.Event(), os.stat, tmp_path / "hung"

    def hanging_stat(path: Any, **options: Any) -> os.stat_result:
        if path == hung and threading.current_thread() is not threading.main_thread():
            end.wait()
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", hanging_stat)
    monkeypatch.setattr(album_places, "STAT_S", 0.05)
    albums = [hung, other]
    try:
        found = album_places.locate_albums(albums)
        assert [place.identity is None for place in found] == [True, False]
        export_run(album, RUN, records(), cache, tmp_path / "out", COPY, other_albums=albums)
        for out in (hung, hung / "out", other, tmp_path):
            with pytest.raises(InvalidArgumentError, match="the album"):
                export_run(album, RUN, records(), cache, out, COPY, other_albums=albums)
    finally:
        end.set()


def test_content_is_flushed_before_its_name_and_names_before_the_manifest(
    tmp_path: Path, cache: SqlFeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    synced: set[album_places.Identity | None] = set()
    folders_synced: list[bool] = []
    fsync, rename = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        synced.add(album_places.identity_of(descriptor))
        fsync(descriptor)

    def replace(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        status = os.stat(source, dir_fd=src_dir_fd)
        assert (status.st_dev, status.st_ino) in synced, target
        if target == MANIFEST_NAME:
            folders = [out, *(out / name for name in ("selected", "selected/sub", "thumbnails"))]
            folders_synced.append({album_places.identity_of(one) for one in folders} <= synced)
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    export(album, cache, out)
    assert folders_synced == [False, True]


@pytest.mark.parametrize("name", ["index.html", "selected/sub/c.jpg", MANIFEST_NAME])
def test_foreign_files_are_replaced_only_with_force(
    tmp_path: Path, cache: SqlFeatureCache, name: str
) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    (out / "notes.txt").write_text("no obstacle")
    before = tree(tmp_path)
    with pytest.raises(InvalidArgumentError, match=f"{name}; choose another folder, or.*--force"):
        export(album, cache, out)
    assert tree(tmp_path) == before
    export(album, cache, out, ExportOptions(FileTransfer.COPY, force=True))
    assert (out / name).read_text(errors="replace") != "mine"
    assert (out / "notes.txt").read_text() == "no obstacle"
    export(album, cache, out)


def test_a_forged_manifest_does_not_turn_a_file_into_a_log(
    tmp_path: Path, cache: SqlFeatureCache
) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    (out / "selected").mkdir(parents=True)
    for name in ("index.html", "selected/mine.jpg"):
        (out / name).write_text("mine")
    forged = {name: [{"log": True}] for name in ("index.html", "selected/mine.jpg")}
    manifest = {"written_by": "bestshot", "format": 1, "files": forged}
    (out / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(InvalidArgumentError, match=r"index\.html"):
        export(album, cache, out)
    (out / "index.html").unlink()
    export(album, cache, out)
    assert (out / "selected" / "mine.jpg").read_text() == "mine"


def test_a_sidecar_started_by_another_program_is_never_removed(
    tmp_path: Path, cache: SqlFeatureCache
) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    theirs = out / "selected" / "b.xmp"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(
        sidecar(records("b.jpg")[0]).replace(b"</rdf:RDF>", b"<!--mine--></rdf:RDF>")
    )
    options = ExportOptions(FileTransfer.COPY, write_xmp=True)
    for selected in (("b.jpg",), ("b.jpg",), ("a.jpg",)):
        assert export(album, cache, out, options, records(*selected)).warnings == []
        assert b"<!--mine-->" in theirs.read_bytes()
    assert not (out / "selected" / "b.jpg").exists()


@pytest.mark.parametrize("transfer", FileTransfer)
def test_sidecars_are_copied_with_selected_photos(
    tmp_path: Path, cache: SqlFeatureCache, transfer: FileTransfer
) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    own, copied = tmp_path / "photos" / "a.xmp", out / "selected" / "a.xmp"
    own.write_bytes(sidecar(records()[0]))
    plain, merged = ExportOptions(transfer), ExportOptions(transfer, write_xmp=True)

    def write(options: ExportOptions, *selected: str) -> list[str]:
        return export(
            album, cache, out, options, records(*selected, companions=("a.xmp",))
        ).warnings

    assert write(plain, "a.jpg") == []
    assert copied.read_bytes() == own.read_bytes()
    assert copied.is_symlink() == (transfer is FileTransfer.SYMLINK)
    own.write_bytes(own.read_bytes().replace(b"</rdf:RDF>", b"<!--new--></rdf:RDF>"))
    assert write(merged, "a.jpg") == []
    assert b"bestshot:selected" in copied.read_bytes()
    assert b"<!--new-->" in copied.read_bytes()
    assert b"bestshot:selected" not in own.read_bytes()
    copied.unlink()
    assert write(plain, "a.jpg") == []
    assert copied.read_bytes() == own.read_bytes()
    copied.unlink()
    copied.write_bytes(b"edited in Lightroom")
    assert write(plain, "a.jpg") == []
    assert copied.read_bytes() == b"edited in Lightroom"
    own.unlink()
    assert write(plain, "a.jpg") == [], "one that was removed since the run"


def test_foreign_files_in_the_staging_folder_do_no_harm(
    tmp_path: Path, cache: SqlFeatureCache
) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    (out / ".bestshot-staging").mkdir(parents=True)
    (out / ".bestshot-staging" / ".DS_Store").write_text("mine")
    for _ in range(2):
        export(album, cache, out)
    assert (out / ".bestshot-staging" / ".DS_Store").read_text() == "mine"


def test_a_changed_file_is_refused_and_named(tmp_path: Path, cache: SqlFeatureCache) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    export(album, cache, out)
    (out / "index.html").write_text("my own page")
    with pytest.raises(InvalidArgumentError, match=r"changed afterwards: index\.html; choose"):
        export(album, cache, out)
    assert (out / "index.html").read_text() == "my own page"


def test_the_last_link_to_a_photo_is_never_removed(tmp_path: Path, cache: SqlFeatureCache) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    hardlink = ExportOptions(FileTransfer.HARDLINK)
    export(album, cache, out, hardlink)
    (tmp_path / "photos" / "b.jpg").unlink()
    done = export(album, cache, out, hardlink, records("a.jpg"))
    assert "did not remove" in done.warnings[0]
    assert "b.jpg" in done.warnings[0]
    assert (out / "selected" / "b.jpg").read_bytes() == content_of("b.jpg")
    assert not (out / "selected" / "d.jpg").exists()


def test_a_folder_has_one_writer_at_a_time(tmp_path: Path, cache: SqlFeatureCache) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    with open_output(out, Path(album.folder)):
        with pytest.raises(
            FailedPreconditionError, match=f"another bestshot command is writing to {out}"
        ):
            export(album, cache, out)
        with open_output(out, Path(album.folder), lock=CURATE_LOCK):
            pass
    export(album, cache, out)
    assert not list(out.glob("*.lock"))


@pytest.fixture
def no_large_files() -> Iterator[None]:
    """Limits files to 100,000 bytes, which acts like a full disk with a different errno."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_an_export_that_runs_out_of_disk_space_leaves_the_earlier_one_intact(
    tmp_path: Path, cache: SqlFeatureCache, request: pytest.FixtureRequest
) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    export(album, cache, out, found=records("a.jpg", "b.jpg"))
    before = tree(out)
    (tmp_path / "photos" / "a.mov").write_bytes(bytes(200_000))
    request.getfixturevalue("no_large_files")
    with pytest.raises(InvalidArgumentError, match="cannot write to"):
        export(album, cache, out, found=records("a.jpg", "d.jpg", companions=("a.mov",)))
    assert tree(out) == before
    assert not list(out.glob(".bestshot-staging"))


@pytest.mark.parametrize("failing", range(8))
def test_a_failure_between_two_renames_is_rolled_back(
    tmp_path: Path, cache: SqlFeatureCache, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    export(album, cache, out, found=records("a.jpg", "b.jpg"))
    before, rename, count = tree(out), os.replace, itertools.count()

    def replace(*places: object, **folders: object) -> None:
        if next(count) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(*places, **folders)  # type: ignore[call-overload]

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace)
        with pytest.raises(InvalidArgumentError, match="No space left"):
            export(album, cache, out, found=records(*NAMES))
    assert tree(out) == before
    export(album, cache, out, found=records(*NAMES))


def test_files_left_by_a_killed_export_are_ours(tmp_path: Path, cache: SqlFeatureCache) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    export(album, cache, out, found=records("a.jpg"))
    child = os.fork()
    if child == 0:
        rename, count = os.replace, itertools.count()

        def replace(*places: object, **folders: object) -> None:
            if next(count) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(*places, **folders)  # type: ignore[call-overload]

        os.replace = replace  # type: ignore[assignment]
        try:
            export(album, cache, out, found=records(*NAMES))
        finally:
            os._exit(1)  # never returns to the test runner
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    export(album, cache, out, found=records(*NAMES))
    assert {path.name for path in out.iterdir()} == {
        *("image_metrics.csv", "results.json", "run.json", "index.html"),
        *("thumbnails", "selected", MANIFEST_NAME),
    }


def test_logs_are_never_written_through_a_link_to_a_photo(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    make_album(photos)
    (out / "logs").mkdir(parents=True)
    os.link(photos / "a.jpg", out / "logs" / "quality.log")
    (out / "logs" / "face.log").symlink_to(photos / "b.jpg")
    logs = ["logs/quality.log", "logs/face.log"]
    before = tree(photos)
    with open_output(out, photos) as output:
        with pytest.raises(InvalidArgumentError, match=", ".join(logs)):
            output.claim_logs(logs, force=False)
        output.claim_logs(logs, force=True)
    for name in logs:
        (out / name).write_text("a line")
    with open_output(out, photos) as output:
        output.claim_logs(logs, force=False)
    assert tree(photos) == before


def test_the_demo_does_not_replace_files(tmp_path: Path) -> None:
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "china-1-sharp.jpg").symlink_to(tmp_path / "mine.jpg")
    make_demo_album(photos)
    assert (tmp_path / "mine.jpg").read_bytes() == b"mine"
    assert len(list(photos.iterdir())) == 12


# Links in albums


@pytest.fixture
def linked(tmp_path: Path) -> Album:
    """An album with links as photos, companion and sidecar; only the link of `b.jpg` is allowed."""
    album = make_album(tmp_path / "photos")
    photos = tmp_path / "photos"
    (tmp_path / "secret").write_text("root:x:0:0")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "b.jpg").write_bytes(content_of("b.jpg"))
    for name, target in (("d.jpg", "secret"), ("a.mov", "secret"), ("b.jpg", "shared/b.jpg")):
        (photos / name).unlink(missing_ok=True)
        (photos / name).symlink_to(tmp_path / target)
    (tmp_path / "secret.xmp").write_text(
        "<x xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:RDF/>SECRET</x>"
    )
    (photos / "a.xmp").symlink_to(tmp_path / "secret.xmp")
    return album


def test_a_photo_that_links_outside_is_unreadable_with_that_reason(
    tmp_path: Path, linked: Album
) -> None:
    source = FolderPhotoSource(Path(linked.folder), max_pixels=1, roots=[tmp_path / "shared"])
    listed = {photo.path: photo.size_bytes for photo in source.list_photos()}
    assert listed["d.jpg"] == 0
    assert source.read("b.jpg") == content_of("b.jpg")
    for name in ("d.jpg", "a.mov", "../secret"):
        with pytest.raises(InvalidImageError, match="leads outside the album"):
            source.read(name)


@pytest.mark.parametrize("has_proc", [True, False])
def test_a_link_that_replaces_a_photo_while_it_is_opened_is_not_read(
    tmp_path: Path, linked: Album, has_proc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FolderPhotoSource(Path(linked.folder), max_pixels=1)
    place, opening, asking = Path(linked.folder) / "a.jpg", os.open, os.readlink

    def swap_and_open(path: Any, *rest: Any, **named: Any) -> int:
        if path == place:
            place.unlink()
            place.symlink_to(tmp_path / "secret")
        return opening(path, *rest, **named)

    def ask(path: Any, **named: Any) -> str:
        if not has_proc and str(path).startswith("/proc"):
            raise FileNotFoundError(path)
        return str(asking(path, **named))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", swap_and_open)
        patched.setattr(os, "readlink", ask)
        with pytest.raises(InvalidImageError, match="leads out"):
            source.read("a.jpg")


def test_an_album_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    album = make_album(tmp_path / "photos")
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    (tmp_path / "photos").symlink_to(tmp_path / "elsewhere")
    source = FolderPhotoSource(Path(album.folder), max_pixels=1)
    with pytest.raises(InvalidArgumentError, match="leads outside the allowed roots"):
        source.list_photos()
    with pytest.raises(InvalidImageError, match="leads out"):
        source.read("a.jpg")


@pytest.mark.parametrize("transfer", FileTransfer)
def test_exports_omit_and_name_links_that_lead_out(
    tmp_path: Path, cache: SqlFeatureCache, linked: Album, transfer: FileTransfer
) -> None:
    out, options = tmp_path / "out", ExportOptions(transfer, write_xmp=True)
    found = records(*NAMES, companions=("a.mov",))
    done = export(linked, cache, out, options, found, roots=(tmp_path / "shared",))
    assert [warning.partition(": ")[0] for warning in done.warnings] == [
        f"skipped {linked.folder}/a.mov",
        f"skipped {linked.folder}/d.jpg",
    ]
    assert done.transferred_count == 3
    assert (out / "selected" / "b.jpg").read_bytes() == content_of("b.jpg")
    assert not any(b"root:x" in p.read_bytes() for p in out.rglob("*") if p.is_file())
    assert b"SECRET" not in (out / "xmp" / "a.xmp").read_bytes()


def test_zips_omit_and_name_links_that_lead_out(
    tmp_path: Path, linked: Album, cache: SqlFeatureCache
) -> None:
    found = records(*NAMES, companions=("a.mov",))
    roots = [tmp_path / "shared"]
    with (
        download(linked, RUN, found, DownloadFormat.SELECTED_ZIP, cache, roots) as opened,
        zipfile.ZipFile(opened) as archive,
    ):
        assert archive.testzip() is None
        photos = {name for name in archive.namelist() if name.endswith((".jpg", ".mov"))}
        assert photos == {"a.jpg", "b.jpg", "sub/c.jpg"}
        skipped = archive.read(SKIPPED_NAME).decode()
        assert [line.partition(":")[0] for line in skipped.splitlines()] == ["a.mov", "d.jpg"]
        assert b"SECRET" not in archive.read("a.xmp")


# Photos that have changed since the run

CHANGED = "it has changed since it was scored; start a new run"


@pytest.fixture
def edited(tmp_path: Path) -> Album:
    """An album in which one photo was replaced by another of the same size after it was scored."""
    album = make_album(tmp_path / "photos")
    (tmp_path / "photos" / "a.dng").write_bytes(b"its RAW file")
    (tmp_path / "photos" / "a.jpg").write_bytes(content_of("b.jpg"))
    (tmp_path / "photos" / "a.png").write_bytes(content_of("a.jpg"))
    return album


@pytest.mark.parametrize("transfer", FileTransfer)
def test_exports_skip_and_name_photos_that_have_changed(
    tmp_path: Path, cache: SqlFeatureCache, edited: Album, transfer: FileTransfer
) -> None:
    out, photos = tmp_path / "out", tmp_path / "photos"
    options = ExportOptions(transfer, write_xmp=True, write_xmp_beside_photos=True)
    found = records(*NAMES, companions=("a.dng",))
    found.append(dataclasses.replace(found[0], path="a.png", companion_paths=()))
    done = export(edited, cache, out, options, found)
    assert done.warnings == [f"skipped {photos}/a.jpg: {CHANGED}"]
    assert done.transferred_count == len(NAMES)
    written = [path for folder in ("selected", "xmp") for path in (out / folder).rglob("a.*")]
    assert sorted(path.name for path in written) == ["a.png", "a.png.xmp", "a.png.xmp"]
    assert sorted(path.name for path in photos.glob("*.xmp")) == [
        *("a.png.xmp", "b.xmp", "d.xmp"),
    ]


def with_people(*people: tuple[str, ...]) -> list[ImageRecord]:
    return [
        dataclasses.replace(one, person_names=names)
        for one, names in zip(records(*NAMES), [*people, ()], strict=True)
    ]


def photos_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("transfer", [None, FileTransfer.SYMLINK])
def test_each_named_person_gets_a_folder(
    tmp_path: Path, cache: SqlFeatureCache, transfer: FileTransfer | None
) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    options = ExportOptions(transfer, by_person=True)
    first, second, third, _ = NAMES
    found = with_people(("Ann", "../B:b"), (), ("Ann",))
    done = export(album, cache, out, options, found)
    assert (done.person_count, done.warnings) == (2, [])
    assert done.transferred_count == (2 if transfer is None else 4)
    expected = {f"Ann/{first}", f"Ann/{third}", f".._B_b/{first}"}
    assert photos_below(out / "people") == expected
    assert (out / "people" / "Ann" / first).is_symlink() == (transfer is not None)
    assert (out / "people" / "Ann" / first).read_bytes() == content_of(first)
    assert (out / "selected").exists() == (transfer is not None)

    (out / "people" / "Ann" / "mine.txt").write_text("mine")
    renamed = with_people(("ann", "Ann"), ("Ann",), ())
    export(album, cache, out, options, renamed)
    expected = {f"Ann/{first}", f"Ann/{second}", "Ann/mine.txt", f"ann (2)/{first}"}
    assert photos_below(out / "people") == expected
    export(album, cache, out, COPY, renamed)
    assert photos_below(out / "people") == expected, "an export without folders leaves them alone"


def test_folders_by_person_need_a_name_and_may_have_sidecars(
    tmp_path: Path, cache: SqlFeatureCache
) -> None:
    album, out = make_album(tmp_path / "photos"), tmp_path / "out"
    unselected = dataclasses.replace(with_people(("Ann",), (), ())[0], is_selected=False)
    options = ExportOptions(by_person=True, write_xmp=True)
    with pytest.raises(FailedPreconditionError, match="nobody in the selected photos has a name"):
        export(album, cache, out, options, [unselected, *records(*NAMES)[1:]])
    assert not out.exists()
    found = with_people(("Ann",), ("Ann",), ())
    with DownloadedSource(
        album, found, lambda wanted: download(album, RUN, found, wanted, cache)
    ) as source:
        write_export(source, out, options)
    assert photos_below(out / "people") == {"Ann/a.jpg", "Ann/a.xmp", "Ann/b.jpg", "Ann/b.xmp"}
    long = with_people(("ä" * 300,), ("ä" * 299,), ())
    assert export(album, cache, out, options, long).person_count == 2


def test_a_copy_made_before_a_photo_changed_stays(tmp_path: Path, cache: SqlFeatureCache) -> None:
    album = make_album(tmp_path / "photos")
    export(album, cache, tmp_path / "out")
    (tmp_path / "photos" / "a.jpg").write_bytes(content_of("b.jpg"))
    (warning,) = export(album, cache, tmp_path / "out").warnings
    assert CHANGED in warning
    assert (tmp_path / "out" / "selected" / "a.jpg").read_bytes() == content_of("a.jpg")


@pytest.mark.parametrize("wanted", [DownloadFormat.SELECTED_ZIP, DownloadFormat.XMP_ZIP])
def test_zips_skip_and_name_photos_that_have_changed(
    tmp_path: Path, edited: Album, cache: SqlFeatureCache, wanted: DownloadFormat
) -> None:
    found = records(*NAMES, companions=("a.dng",))
    with (
        download(edited, RUN, found, wanted, cache) as opened,
        zipfile.ZipFile(opened) as archive,
    ):
        assert not [name for name in archive.namelist() if name.startswith("a.")]
        assert archive.read(SKIPPED_NAME).decode() == f"a.jpg: {CHANGED}\n"


def test_a_downloaded_export_names_photos_that_have_changed(
    tmp_path: Path, edited: Album, cache: SqlFeatureCache
) -> None:
    found = records(*NAMES, companions=("a.dng",))
    options = ExportOptions(FileTransfer.COPY, write_xmp=True)
    with DownloadedSource(
        edited, found, lambda wanted: download(edited, RUN, found, wanted, cache)
    ) as source:
        done = write_export(source, tmp_path / "out", options)
    assert done.warnings == [f"skipped {tmp_path}/photos/a.jpg: {CHANGED}"]
    assert not list((tmp_path / "out").rglob("a.*"))


def test_sidecars_are_not_written_through_links_out_of_the_album(
    tmp_path: Path, linked: Album
) -> None:
    before = tree(tmp_path, but=(tmp_path / "photos" / "sub",))
    (tmp_path / "photos" / "sub").rename(tmp_path / "moved")
    (tmp_path / "photos" / "sub").symlink_to(tmp_path / "moved")
    warnings = list(write_sidecars_beside(Path(linked.folder), records()))
    assert {warning.partition(" unchanged: ")[0] for warning in warnings} == {
        f"left {linked.folder}/a.xmp",
        f"left {linked.folder}/sub/c.xmp",
    }
    after = tree(tmp_path)
    assert {path: after[path] for path in before} == before
    assert not (tmp_path / "moved" / "c.xmp").exists()
    assert (tmp_path / "photos" / "b.xmp").exists()


def test_a_single_file_never_replaces_a_photo_or_a_foreign_file(tmp_path: Path) -> None:
    album = make_album(tmp_path / "photos")
    target = tmp_path / "table.csv"
    (tmp_path / "content").write_bytes(b"new")

    def write(path: Path, *, force: bool) -> None:
        with (tmp_path / "content").open("rb") as opened:
            write_file(path, opened, albums=[Path(album.folder)], force=force)

    write(target, force=False)
    with pytest.raises(InvalidArgumentError, match="already exists"):
        write(target, force=False)
    write(target, force=True)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for place in (tmp_path / "photos" / "a.jpg", tmp_path / "link" / "a.jpg"):
        with pytest.raises(BestshotError, match="belongs to the album"):
            write(place, force=True)
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == content_of("a.jpg")
