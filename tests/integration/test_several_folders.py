"""An album with several folders: two cameras with the same file names, and a photo in both."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import grpc
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from PIL import Image

from tests.conftest import draw_picture
from tests.integration.command import Curated, bestshot
from tests.integration.parts import Part, orchestrator
from tests.raw_files import dng

ZOE, ANNA = "1 zoe", "2 anna"
"""Numbered, because their order is not alphabetical."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    base = tmp_path_factory.mktemp("several")
    photos = base / "photos"
    for number, name in enumerate(("zoe", "anna")):
        (photos / name / "day").mkdir(parents=True)
        Image.fromarray(draw_picture(number)).save(photos / name / "day" / "IMG_1.jpg")
        Image.fromarray(draw_picture(2)).save(photos / name / "same.jpg")
    (photos / "anna" / "day" / "img_1.DNG").write_bytes(dng(draw_picture(1)))
    (photos / "anna" / "day" / "IMG_1.xmp").write_text("Anna's")
    arguments = ["curate", photos / "zoe", photos / "anna", "--out", base / "out"]
    keep_all = "select_best.max_images_per_cluster=9"
    finished = bestshot([*arguments, "--copy-selected", "--set", keep_all], data=base / "data")
    assert finished.code == 0, finished.text
    return Curated(photos, base / "out", base / "data", finished.text)


def place(done: Curated, path: str) -> Path:
    """Returns the location of a photo in the album."""
    name, _, within = path.partition("/")
    return done.photos / name.partition(" ")[2] / within


def test_a_photo_is_named_by_folder_and_path(done: Curated) -> None:
    assert (
        set(done.images)
        == set(done.rows)
        == {
            *(
                f"{ZOE}/day/IMG_1.jpg",
                f"{ZOE}/same.jpg",
                f"{ANNA}/day/IMG_1.jpg",
                f"{ANNA}/same.jpg",
            )
        }
    )
    pair = done.images[f"{ANNA}/day/IMG_1.jpg"]
    assert pair["companion_paths"] == [f"{ANNA}/day/img_1.DNG", f"{ANNA}/day/IMG_1.xmp"]
    assert done.images[f"{ZOE}/day/IMG_1.jpg"]["companion_paths"] == []
    album = done.run["album"]
    assert album["folders"] == [str(done.photos / "zoe"), str(done.photos / "anna")]
    assert album["folder"] == album["folders"][0]
    page = (done.out / "index.html").read_text()
    assert (done.photos / "anna" / "day" / "IMG_1.jpg").as_uri() in page


def test_the_earlier_folder_is_preferred_for_identical_photos(done: Curated) -> None:
    first, second = done.images[f"{ZOE}/same.jpg"], done.images[f"{ANNA}/same.jpg"]
    assert first["content_digest"] == second["content_digest"]
    assert first["is_selected"]
    assert not second["is_selected"]
    assert (second["reason_code"], second["lost_to_path"]) == ("DUPLICATE", f"{ZOE}/same.jpg")


def test_copies_links_and_zips_contain_the_photos_of_both_folders(
    done: Curated, tmp_path: Path
) -> None:
    selected = [path for path, image in done.images.items() if image["is_selected"]]
    assert f"{ANNA}/day/IMG_1.jpg" in selected
    files = [path for one in selected for path in (one, *done.images[one]["companion_paths"])]
    for path in files:
        assert (done.out / "selected" / path).read_bytes() == place(done, path).read_bytes()
    for way in ("hardlink", "symlink"):
        out = tmp_path / way
        export = bestshot(["export", "--out", out, "--selected", way], data=done.data)
        assert export.code == 0, export.text
        assert all((out / "selected" / path).samefile(place(done, path)) for path in files)
    out = tmp_path / "photos.zip"
    export = bestshot(["export", "--out", out, "--as", "selected-zip"], data=done.data)
    assert export.code == 0, export.text
    with zipfile.ZipFile(out) as archive:
        for path in files:
            if not path.endswith(".xmp"):
                assert archive.read(path) == place(done, path).read_bytes()
        assert b"bestshot:selected" in archive.read(f"{ANNA}/day/IMG_1.xmp")


def test_sidecars_are_written_beside_the_photos_of_each_folder(
    done: Curated, tmp_path: Path
) -> None:
    data, photos = tmp_path / "data", tmp_path / "photos"
    shutil.copytree(done.photos, photos)
    folders = [photos / "anna", photos / "zoe"]
    finished = bestshot(["curate", *folders, "--out", tmp_path / "out"], data=data)
    assert finished.code == 0, finished.text
    export = bestshot(["export", "--out", tmp_path / "out", "--xmp-beside-photos"], data=data)
    assert export.code == 0, export.text
    assert "anna/day/IMG_1.xmp unchanged: it is not XML" in export.text
    for name in ("zoe/day/IMG_1.xmp", "zoe/same.xmp", "anna/same.xmp"):
        assert b"bestshot:Rating" in (photos / name).read_bytes()


def test_a_run_is_shown_and_reproduced_but_not_exported_into_its_folders(
    done: Curated, tmp_path: Path
) -> None:
    both = f"{done.photos / 'zoe'}, {done.photos / 'anna'}"
    assert both in bestshot(["show"], data=done.data).text
    found = bestshot(["reproduce"], data=done.data)
    assert f"identical in every field: {len(done.images)} of {len(done.images)}" in found.text
    inside = done.photos / "anna" / "results"
    export = bestshot(["export", "--out", inside], data=done.data)
    assert export.code == 1
    assert f"is inside the album {done.photos / 'anna'}" in export.text
    explained = bestshot(["explain", f"{ANNA}/same.jpg"], data=done.data)
    assert explained.code == 0, explained.text


def test_the_error_for_wrong_folders_names_them(
    done: Curated, services: dict[str, Part], tmp_path: Path
) -> None:
    nested = bestshot(
        ["curate", done.photos, done.photos / "zoe", "--out", tmp_path / "out"], data=tmp_path / "d"
    )
    assert nested.code == 1
    assert f"{done.photos / 'zoe'} is inside {done.photos}" in nested.text
    zoe, anna = str(done.photos / "zoe"), str(done.photos / "anna")
    addresses = {name: part.address for name, part in services.items()}
    with orchestrator(tmp_path, addresses, done.photos) as part:
        wrong = [
            (pb.CreateAlbumRequest(folders=[zoe, "/etc"]), "/etc is not in any of the allowed"),
            (pb.CreateAlbumRequest(folders=[zoe, zoe]), "is given twice"),
            (pb.CreateAlbumRequest(folder=zoe, folders=[anna]), "list all folders here instead"),
            (pb.CreateAlbumRequest(display_name="a"), "folder: must not be empty unless"),
        ]
        for request, problem in wrong:
            with pytest.raises(grpc.RpcError) as caught:
                part.stub.CreateAlbum(request)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert problem in caught.value.details()
        both, again, alone = (
            part.stub.CreateAlbum(request).album
            for request in (
                pb.CreateAlbumRequest(folders=[zoe, anna]),
                pb.CreateAlbumRequest(folders=[zoe, anna]),
                pb.CreateAlbumRequest(folders=[zoe]),
            )
        )
        assert both == again
        assert (both.display_name, both.folder, list(both.folders)) == (
            "zoe, anna",
            zoe,
            [zoe, anna],
        )
        assert alone.id != both.id
        assert list(alone.folders) == [zoe]
        listed = {album.id: album for album in part.stub.ListAlbums(pb.ListAlbumsRequest()).albums}
        assert listed == {both.id: both, alone.id: alone}
