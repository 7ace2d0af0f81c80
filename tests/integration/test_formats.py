"""Names, pairs and folders as cameras, phones and networks produce them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pillow_heif
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from PIL import Image

from tests.conftest import draw_picture
from tests.integration.command import Curated, bestshot, curate
from tests.integration.parts import Part, orchestrator
from tests.integration.up import running_up
from tests.raw_files import dng

NAMES = (
    *("caf\u00e9.jpg", "cafe\u0301.jpg"),  # composed and decomposed: two files
    *("\U0001f3d4 a mountain.jpg", "\u05e9\u05dc\u05d5\u05dd.jpg", "\u5bcc\u58eb\u5c71.jpg"),
    *('quote\'s "n" <tags> & more.jpg', "=1+2.jpg", "two\nlines.jpg", "per%20cent?#.jpg"),
    "n" * 251 + ".jpg",
    "/".join(["a folder within a folder"] * 40) + "/deep.jpg",
)
PIXEL = "PXL_20250126_164931991"
EXIF_MAKE, EXIF_IFD, DATE_TIME_ORIGINAL = 0x010F, 0x8769, 0x9003


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    base = tmp_path_factory.mktemp("formats")
    photos = base / "photos"
    for number, name in enumerate(NAMES):
        place = photos / name
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_picture(number, 320, 240)).save(place)
    exif = Image.Exif()
    exif[EXIF_MAKE] = "Bestshot"
    exif.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL] = "2026:05:17 10:00:00"
    Image.fromarray(draw_picture(50)).save(photos / "pair.JPG", exif=exif)
    (photos / "PAIR.DNG").write_bytes(dng(draw_picture(50)))
    (photos / "pair.xmp").write_text("Lightroom's")
    pillow_heif.from_pillow(Image.fromarray(draw_picture(51))).save(photos / "live.HEIC")
    (photos / "live.MOV").write_bytes(b"a film")
    Image.fromarray(draw_picture(54)).save(photos / f"{PIXEL}.RAW-01.COVER.jpg")
    (photos / f"{PIXEL}.RAW-02.ORIGINAL.dng").write_bytes(dng(draw_picture(54)))
    (photos / f"{PIXEL}.RAW-02.ORIGINAL.dng.xmp").write_text("darktable's")
    Image.fromarray(draw_picture(55)).save(photos / f"{PIXEL}.RAW-01.COVER~2.jpg")
    Image.fromarray(draw_picture(52)).save(photos / "new.avif")
    (photos / "raw.nef").write_bytes(dng(draw_picture(53), orientation=6))
    before = {path: path.stat().st_mtime_ns for path in [photos, *photos.rglob("*")]}
    found = curate(photos, base / "out", base / "data", "--copy-selected")
    after = {path: path.stat().st_mtime_ns for path in [photos, *photos.rglob("*")]}
    assert after == before, "curating must not change the album"
    return found


def test_photos_with_any_name_are_read_shown_and_exported(done: Curated) -> None:
    images = done.images
    assert {path for path in images if images[path]["quality"]} == {
        *NAMES,
        *("pair.JPG", "live.HEIC", "new.avif", "raw.nef"),
        *(f"{PIXEL}.RAW-01.COVER.jpg", f"{PIXEL}.RAW-01.COVER~2.jpg"),
    }
    rows = done.rows
    assert set(rows) == {f"'{path}" if path.startswith("=") else path for path in images}
    page = (done.out / "index.html").read_text()
    assert "\u5bcc\u58eb\u5c71.jpg" in page
    assert "<tags>" not in page
    again = done.out.with_name("again")
    arguments = ["export", "--out", again, "--selected", "symlink", "--xmp"]
    exported = bestshot(arguments, data=done.data)
    assert exported.code == 0, exported.text
    assert "cannot" not in exported.text
    for path, image in images.items():
        if image["is_selected"]:
            assert (done.out / "selected" / path).read_bytes() == (done.photos / path).read_bytes()
            assert (again / "selected" / path).samefile(done.photos / path)
            sidecars = [other for other in image["companion_paths"] if other.endswith(".xmp")]
            for sidecar in sidecars or [f"{path.rpartition('.')[0]}.xmp"]:
                assert (again / "selected" / sidecar).exists()


def test_a_raw_and_jpeg_pair_is_one_photo_and_so_is_a_live_photo(done: Curated) -> None:
    pair, live, raw = (done.images[name] for name in ("pair.JPG", "live.HEIC", "raw.nef"))
    assert pair["companion_paths"] == ["PAIR.DNG", "pair.xmp"]
    assert (pair["camera"], pair["capture_time"]) == ("Bestshot", "2026-05-17T10:00:00")
    assert live["companion_paths"] == ["live.MOV"]
    assert live["camera_facts"]["has_video"]
    assert (done.rows["live.HEIC"]["Video"], done.rows["pair.JPG"]["Video"]) == ("yes", "no")
    assert json.loads(done.rows["pair.JPG"]["Companions"]) == ["PAIR.DNG", "pair.xmp"]
    assert done.rows["pair.JPG"]["Camera"] == "Bestshot"
    assert (raw["format"], raw["width_px"], raw["height_px"]) == ("RAW", 240, 320)
    assert done.images["new.avif"]["format"] == "AVIF"
    assert live["format"] == "HEIF"
    pixel = done.images[f"{PIXEL}.RAW-01.COVER.jpg"]
    assert pixel["companion_paths"] == [
        f"{PIXEL}.RAW-02.ORIGINAL.dng",
        f"{PIXEL}.RAW-02.ORIGINAL.dng.xmp",
    ]
    raw_path = pixel["companion_paths"][0]
    assert pixel["capture_time_source"] == f"{raw_path} EXIF DateTimeOriginal"
    assert (pixel["camera"], pixel["capture_time"]) == (
        "Bestshot Test Camera 1",
        "2026-05-17T10:00:00",
    )
    for image in (pair, live, pixel):
        for path in image["companion_paths"]:
            assert (done.out / "selected" / path).exists() == image["is_selected"]


def test_an_edited_copy_names_its_original(done: Curated) -> None:
    original, edited = f"{PIXEL}.RAW-01.COVER.jpg", f"{PIXEL}.RAW-01.COVER~2.jpg"
    versions = {path: image["version_of_path"] for path, image in done.images.items()}
    assert {path: of for path, of in versions.items() if of} == {edited: original}
    assert done.rows[edited]["Version_Of"] == original
    assert done.rows[original]["Version_Of"] == ""


@pytest.fixture
def read_only(done: Curated, tmp_path: Path) -> Iterator[Path]:
    """The album on a read-only disk; skips if this process is not allowed to mount one."""
    place = tmp_path / "read-only"
    place.mkdir()
    bind = ["mount", "--bind", done.photos, place]
    if subprocess.run(bind, capture_output=True, check=False).returncode != 0:
        pytest.skip("this process may not mount file systems")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_read_only_album_is_curated_and_exported(
    done: Curated, read_only: Path, tmp_path: Path
) -> None:
    found = curate(read_only, tmp_path / "out", done.data, "--copy-selected")
    assert found.csv_bytes == done.csv_bytes
    export = ["export", "--out", tmp_path / "out"]
    links = bestshot([*export, "--selected", "symlink", "--xmp"], data=done.data)
    assert links.code == 0, links.text
    picked = [path for path, image in found.images.items() if image["is_selected"]]
    for path in picked:
        assert (tmp_path / "out" / "selected" / path).samefile(read_only / path)
    beside = bestshot([*export, "--xmp-beside-photos"], data=done.data)
    assert beside.code == 0
    assert beside.text.count("wrote no sidecars beside the photos") == 1
    assert f"{read_only} is read-only" in beside.text
    hard = bestshot([*export, "--selected", "hardlink"], data=done.data)
    assert hard.code == 1
    assert "copy instead" in hard.text
    table = bestshot(["export", "--out", read_only / "a.csv", "--as", "csv"], data=done.data)
    assert table.code == 1
    assert f"cannot write {read_only / 'a.csv'}: Read-only file system" in table.text


@pytest.fixture
def system(tmp_path: Path) -> Iterator[orchestrator_pb2_grpc.OrchestratorServiceStub]:
    with (
        running_up(tmp_path, [tmp_path], "--no-ui") as addresses,
        grpc.insecure_channel(addresses["orchestrator"]) as channel,
    ):
        yield orchestrator_pb2_grpc.OrchestratorServiceStub(channel)


def test_a_folder_that_vanishes_during_a_run_stops_it_without_loss(
    system: orchestrator_pb2_grpc.OrchestratorServiceStub, tmp_path: Path
) -> None:
    photos = tmp_path / "network"
    photos.mkdir()
    for number in range(24):
        Image.fromarray(draw_picture(number, 400, 300)).save(photos / f"{number:02}.jpg")
    album = system.CreateAlbum(pb.CreateAlbumRequest(folder=str(photos))).album
    run = system.StartRun(pb.StartRunRequest(album_id=album.id)).run

    def stage(name: str) -> pb.StageProgress:
        stages = system.GetRun(pb.GetRunRequest(run_id=run.id)).run.stages
        return next((found for found in stages if found.stage == name), pb.StageProgress())

    while stage("score").completed_count < 4:
        time.sleep(0.05)
    photos.rename(tmp_path / "unplugged")
    *_, last = system.WatchRun(pb.WatchRunRequest(run_id=run.id))
    assert last.run.state == pb.RUN_STATE_FAILED
    assert "is no longer available" in last.run.error
    assert "Scores computed so far are kept" in last.run.error
    (tmp_path / "unplugged").rename(photos)
    system.ResumeRun(pb.ResumeRunRequest(run_id=run.id))
    *_, last = system.WatchRun(pb.WatchRunRequest(run_id=run.id))
    assert last.run.state == pb.RUN_STATE_COMPLETED, last.run.error
    assert (last.run.summary.photo_count, last.run.summary.unreadable_count) == (24, 0)
    assert stage("score").cached_count >= 4


def test_an_album_outside_the_allowed_roots_is_shown_but_its_folder_is_not_read(
    done: Curated, services: dict[str, Part], tmp_path: Path
) -> None:
    """`curate` may create albums anywhere that its user can read."""
    addresses = {name: part.address for name, part in services.items()}
    with orchestrator(done.data.parent, addresses, tmp_path) as part:
        albums = part.stub.ListAlbums(pb.ListAlbumsRequest()).albums
        (album,) = (one for one in albums if one.folder == str(done.photos))
        run = part.stub.ListRuns(pb.ListRunsRequest(album_id=album.id)).runs[-1]
        assert part.stub.ListImages(pb.ListImagesRequest(run_id=run.id)).images
        large = pb.GetThumbnailRequest(run_id=run.id, path="new.avif", long_side_px=1000)
        with pytest.raises(grpc.RpcError) as caught:
            part.stub.GetThumbnail(large)
        refusal = f"{done.photos} is not in any of the allowed roots ({tmp_path}, "
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert refusal in caught.value.details()
        again = part.end(part.stub.StartRun(pb.StartRunRequest(album_id=album.id)).run.id)
        assert again.state == pb.RUN_STATE_FAILED
        assert refusal in again.error
