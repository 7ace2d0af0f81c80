"""Zips can be unpacked on Windows and macOS without losing a file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path, PurePosixPath

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from orchestrator.export.download import DownloadFormat, download
from orchestrator.export.downloaded import DownloadedSource
from orchestrator.export.xmp import sidecar
from orchestrator.export.zip_names import zip_names
from orchestrator.metrics import RunMetrics
from orchestrator.records import Album, ImageRecord, Run, RunState, utc_now
from orchestrator.storage.database import open_database
from orchestrator.storage.feature_cache import SqlFeatureCache
from tests.unit.values import quality

DEVICES = {"con", "prn", "aux", "nul", *(f"{n}{d}" for n in ("com", "lpt") for d in range(10))}


def record(path: str, *companions: str) -> ImageRecord:
    return ImageRecord(
        path=path,
        content_digest=hashlib.sha256(path.encode()).hexdigest(),
        size_bytes=1,
        companion_paths=companions,
        quality=quality(),
        is_selected=True,
    )


words = st.sampled_from(
    ["a", "A", "con", "NUL", "e\u0301", "\u00e9", "x<y", "x?y", "x_y", "b.", "c ", "a (2)"]
)
suffixes = st.sampled_from([".jpg", ".JPG", ".Jpg", ".png", ". ", ""])
photo_paths = st.builds(
    lambda folders, stem, suffix: "/".join([*folders, stem + suffix]),
    st.lists(words, max_size=2),
    words,
    suffixes,
)


@given(st.lists(photo_paths, unique=True, max_size=12))
def test_names_are_valid_and_distinct_on_every_system(paths: list[str]) -> None:
    names = zip_names([record(path, f"{path}.mov", f"{path}.MOV") for path in paths])
    assert len({name.casefold() for name in names.values()}) == len(names)
    folders = {str(f).casefold() for name in names.values() for f in PurePosixPath(name).parents}
    assert folders.isdisjoint(name.casefold() for name in names.values())
    for name in names.values():
        for part in name.split("/"):
            assert not set(part) & set('<>:"|?*\\')
            assert not part.endswith((".", " "))
            assert part.partition(".")[0].strip().lower() not in DEVICES


def test_ordinary_names_are_kept_and_a_clash_renames_all_files_of_a_photo() -> None:
    names = zip_names(
        [record("day 1/IMG_1.jpg", "day 1/IMG_1.mov"), record("Day 1/img_1.JPG", "Day 1/img_1.mov")]
    )
    assert names == {
        "Day 1/img_1.JPG": "Day 1/img_1.JPG",
        "Day 1/img_1.mov": "Day 1/img_1.mov",
        "Day 1/img_1.xmp": "Day 1/img_1.xmp",
        "day 1/IMG_1.jpg": "day 1/IMG_1 (2).jpg",
        "day 1/IMG_1.mov": "day 1/IMG_1 (2).mov",
        "day 1/IMG_1.xmp": "day 1/IMG_1 (2).xmp",
    }


def test_a_zip_has_all_sidecars_of_a_photo_once_and_merged(sqlite_folder: Path) -> None:
    photos = sqlite_folder / "photos"
    photos.mkdir()
    pair = record("a.jpg", "a.dng", "a.dng.xmp", "a.jpg.pp3", "a.xmp")
    for name in (pair.path, *pair.companion_paths):
        (photos / name).write_bytes(sidecar(pair) if name.endswith(".xmp") else name.encode())
    album = Album("a", "a", str(photos), utc_now())
    cache = SqlFeatureCache(open_database(sqlite_folder), RunMetrics(CollectorRegistry()))
    done = Run("r", "a", RunState.COMPLETED, "builtin", {}, {}, {}, utc_now())
    with (
        download(album, done, [pair], DownloadFormat.SELECTED_ZIP, cache) as opened,
        zipfile.ZipFile(opened) as archive,
    ):
        assert sorted(archive.namelist()) == sorted([pair.path, *pair.companion_paths])
        assert archive.read("a.jpg.pp3") == b"a.jpg.pp3"
        for name in ("a.dng.xmp", "a.xmp"):
            assert b"bestshot:selected" in archive.read(name)


def test_a_zip_has_safe_names_and_the_client_finds_the_photos_in_it(sqlite_folder: Path) -> None:
    photos = sqlite_folder / "photos"
    photos.mkdir()
    found = [record(path) for path in ("CON.jpg", "a.jpg", "A.JPG", "why?.jpg")]
    for one in found:
        (photos / one.path).write_bytes(one.path.encode())
    album = Album("a", "a", str(photos), utc_now())
    cache = SqlFeatureCache(open_database(sqlite_folder), RunMetrics(CollectorRegistry()))
    done = Run("r", "a", RunState.COMPLETED, "builtin", {}, {}, {}, utc_now())

    def fetch(wanted: DownloadFormat) -> io.BytesIO:
        with download(album, done, found, wanted, cache) as opened:
            return io.BytesIO(opened.read())

    with zipfile.ZipFile(fetch(DownloadFormat.SELECTED_ZIP)) as archive:
        assert sorted(archive.namelist()) == [
            *("A.JPG", "A.xmp", "CON_.jpg", "CON_.xmp", "a (2).jpg", "a (2).xmp"),
            *("why_.jpg", "why_.xmp"),
        ]
    with DownloadedSource(album, found, fetch) as source:
        for one in found:
            with source.open_photo(one.path) as opened:
                assert opened.read() == one.path.encode()
            assert b"xmpmeta" in source.sidecar(one, str(Path(one.path).with_suffix(".xmp")))
