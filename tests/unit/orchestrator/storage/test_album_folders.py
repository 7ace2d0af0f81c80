from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.records import Album, ImageRecord, utc_now
from orchestrator.storage.album_folders import (
    AlbumFolders,
    check_apart,
    name_folders,
    open_folders,
)
from orchestrator.storage.photo_source import FolderPhotoSource
from services.common.errors import InvalidArgumentError, UnavailableError


def names(*folders: str) -> list[str]:
    return list(name_folders([Path(folder) for folder in folders]))


def test_folder_names_use_as_much_of_the_path_as_makes_them_unique() -> None:
    assert names("/photos") == [""]
    assert names("/p/anna", "/p/zoe") == ["anna", "zoe"]
    assert names("/cards/1/DCIM", "/cards/2/DCIM") == ["1_DCIM", "2_DCIM"]
    assert names("/A/dcim", "/B/DCIM") == ["A_dcim", "B_DCIM"], "for disks that ignore case"
    assert names("/A/x", "/a/x") == ["A_x", "a_x"]


def test_names_are_numbered_if_their_order_is_not_alphabetical() -> None:
    assert names("/p/zoe", "/p/anna") == ["1 zoe", "2 anna"]
    assert names("/a", "/a b") == ["1 a", "2 a b"], "a space comes before a slash"
    assert names("/a/b_c", "/a_b/c") == ["b_c", "c"]
    assert names("/a/b_c", "/a_b/c", "/z/c", "/z/b_c") == [
        *("1 a_b_c", "2 a_b_c", "3 z_c", "4 z_b_c")
    ]


paths = st.lists(
    st.lists(st.sampled_from(["a", "A", "b", "a b", "1 a"]), min_size=1, max_size=3).map(
        lambda parts: Path("/", *parts)
    ),
    min_size=1,
    max_size=5,
    unique=True,
)


@given(paths)
def test_every_photo_has_a_unique_path_that_leads_back_to_it(folders: list[Path]) -> None:
    try:
        check_apart(folders)
    except InvalidArgumentError:
        return
    album = Album("a", "a", str(folders[0]), utc_now(), tuple(map(str, folders[1:])))
    found = AlbumFolders(album)
    listed = [
        (f"{name}/sub/1.jpg" if name else "sub/1.jpg", folder)
        for name, folder in found.named.items()
    ]
    assert [folder for _, folder in listed] == folders
    for path, folder in listed:
        assert found.place(path) == folder / "sub/1.jpg"
    assert all(first < second for (first, _), (second, _) in pairwise(listed))


def test_folders_with_photos_in_common_are_refused() -> None:
    check_apart([Path("/a"), Path("/ab"), Path("/b/a")])
    with pytest.raises(InvalidArgumentError, match="/a/b is inside /a"):
        check_apart([Path("/a/b"), Path("/a")])
    with pytest.raises(InvalidArgumentError, match="/a is given twice"):
        check_apart([Path("/a"), Path("/a")])


def test_photos_of_several_folders_are_found_and_read(tmp_path: Path) -> None:
    for place in ("a/1.jpg", "a/1.dng", "a/film.mp4", "b/1.jpg", "b/sub/1~2.jpg", "b/sub/1.jpg"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(place)
    (tmp_path / "c").mkdir()
    folders = [tmp_path / name for name in "abc"]
    source = open_folders(folders, lambda folder: FolderPhotoSource(folder, max_pixels=1))
    found = source.find_photos()
    assert [
        (photo.path, photo.companion_paths, photo.version_of_path) for photo in found.photos
    ] == [
        ("a/1.jpg", ("a/1.dng",), ""),
        ("b/1.jpg", (), ""),
        ("b/sub/1.jpg", (), ""),
        ("b/sub/1~2.jpg", (), "b/sub/1.jpg"),
    ]
    assert found.notes == ("a: Left out: 1 video.",)
    for photo in found.photos:
        assert source.read(photo.path).decode() == photo.path
        assert source.size(photo.path) == len(photo.path)
    with pytest.raises(UnavailableError, match="not in any of the album's folders"):
        source.read("d/1.jpg")
    source.check_reachable()
    (tmp_path / "b").rename(tmp_path / "d")
    with pytest.raises(UnavailableError, match="/b is no longer available"):
        source.check_reachable()
    with pytest.raises(InvalidArgumentError, match="/b does not exist"):
        source.find_photos()


def test_a_photo_within_its_folder_keeps_its_companions() -> None:
    folders = AlbumFolders(Album("a", "a", "/p/a", utc_now(), ("/p/b",)))
    record = ImageRecord("b/x/1.jpg", "digest", 1, companion_paths=("b/x/1.dng", "b/x/1.xmp"))
    folder, within = folders.within(record)
    assert folder == Path("/p/b")
    assert (within.path, within.companion_paths) == ("x/1.jpg", ("x/1.dng", "x/1.xmp"))
