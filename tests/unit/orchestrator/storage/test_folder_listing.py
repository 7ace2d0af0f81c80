"""Folders listed for choosing an album's folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.storage import folder_listing
from orchestrator.storage.folder_listing import list_folders
from services.common.errors import InvalidArgumentError


def test_only_folders_inside_the_allowed_roots_are_listed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in ("trip/day 1", ".cache", "@eaDir", "empty"):
        (root / folder).mkdir(parents=True)
    (outside / "secret").mkdir(parents=True)
    for name in ("a.jpg", "a.nef", "b.heic", "note.txt", "._a.jpg"):
        (root / "trip" / name).touch()
    (root / "link").symlink_to(outside)
    (root / "inner").symlink_to(root / "trip")

    listing = list_folders(str(root), [root])
    found = {entry.path.name: entry.photo_count for entry in listing.folders}
    assert found == {"empty": 0, "inner": 2, "trip": 2}
    assert (listing.folder, listing.parent) == (root, None)
    trip = list_folders(str(root / "trip"), [root])
    assert (trip.parent, trip.photo_count) == (root, 2)
    assert [entry.path for entry in list_folders("", [root]).folders] == [root]


@pytest.mark.parametrize(
    "path", ["..", "link", "link/secret", "trip/../../outside", "missing", "long" * 100]
)
def test_a_folder_outside_the_roots_is_refused(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside" / "secret").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidArgumentError):
        list_folders(str(root / path), [root])


def test_folders_that_cannot_be_shown_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (b"caf\xe9", b"two\nlines", "\u2028".encode(), "👨‍👩‍👧 <b>".encode(), b"a", b"b"):
        os.mkdir(os.path.join(os.fsencode(tmp_path), name))
    listing = list_folders(str(tmp_path), [tmp_path])
    assert [entry.path.name for entry in listing.folders] == ["a", "b", "👨‍👩‍👧 <b>"]
    assert listing.left_out_count == 3
    monkeypatch.setattr(folder_listing, "MAX_FOLDERS", 2)
    listing = list_folders(str(tmp_path), [tmp_path])
    assert [entry.path.name for entry in listing.folders] == ["a", "b"]
    assert listing.left_out_count == 4
