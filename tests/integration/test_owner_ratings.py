"""Ratings that photos already have, in a run, with the user's decisions and in an export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from PIL import Image

from orchestrator.metadata.reader import read_sidecar
from tests.conftest import draw_picture
from tests.integration.parts import Orchestrator, Part, orchestrator
from tests.unit.orchestrator.metadata.test_reader import xmp


@dataclass(frozen=True)
class Album:
    """An album that was curated, exported and curated again."""

    system: Orchestrator
    photos: Path
    run: pb.Run
    first: dict[str, pb.ImageResult]
    second: dict[str, pb.ImageResult]


def images(system: Orchestrator, run_id: str) -> dict[str, pb.ImageResult]:
    found = system.stub.ListImages(pb.ListImagesRequest(run_id=run_id)).images
    return {image.path: image for image in found}


@pytest.fixture(scope="module")
def album(services: dict[str, Part], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Album]:
    base = tmp_path_factory.mktemp("owner")
    photos = base / "photos"
    photos.mkdir()
    embedded = {"inside.jpg": xmp(xmp_Rating="-1", xmp_Label="Rot")}
    for seed, name in enumerate(("both.jpg", "inside.jpg", "kept.jpg", "plain.jpg", "torn.jpg")):
        picture = Image.fromarray(draw_picture(seed))
        picture.save(photos / name, xmp=embedded.get(name, b""))
    (photos / "both.jpg.xmp").write_bytes(xmp(xmp_Rating="-1"))
    (photos / "both.xmp").write_bytes(xmp(xmp_Rating="5"))
    date = "2024-05-01T10:00:00"
    (photos / "kept.xmp").write_bytes(xmp(xmp_Rating="4", exif_DateTimeOriginal=date))
    (photos / "torn.xmp").write_bytes(b"<x:xmpmeta")
    addresses = {name: part.address for name, part in services.items()}
    with orchestrator(base, addresses, photos, allowed_roots=str([str(base)])) as system:
        run = system.end(system.begin())
        first = images(system, run.id)
        export = pb.ExportRunRequest(
            run_id=run.id, output_folder=str(base / "out"), write_xmp_beside_photos=True
        )
        system.stub.ExportRun(export)
        second = images(system, system.end(system.begin()).id)
        yield Album(system, photos, run, first, second)


def test_ratings_decide_and_reasons_name_them(album: Album) -> None:
    for found in (album.first, album.second):
        codes = {path: image.reason_code for path, image in found.items()}
        assert codes["both.jpg"] == codes["inside.jpg"] == pb.REASON_CODE_OWNER_REJECT
        assert codes["kept.jpg"] == pb.REASON_CODE_OWNER_KEEP
        assert not found["both.jpg"].is_selected
        assert found["kept.jpg"].is_selected
        assert found["both.jpg"].owner_mark == pb.OwnerMark(rating=-1, source="both.jpg.xmp")
        assert found["inside.jpg"].owner_mark == pb.OwnerMark(
            rating=-1, label="Rot", source="the file"
        )
        assert not found["plain.jpg"].owner_mark.HasField("rating")
        assert "kept.xmp is 4, and use_owner_ratings is on" in found["kept.jpg"].reason
    whole = album.system.stub.GetRun(pb.GetRunRequest(run_id=album.run.id)).run
    assert whole.config["select_best"]["use_owner_ratings"] is True
    assert any("1 sidecar could not be read" in note for note in album.run.notes)
    kept = album.first["kept.jpg"]
    assert (kept.capture_time, kept.capture_time_source) == (
        "2024-05-01T10:00:00",
        "kept.xmp exif:DateTimeOriginal",
    )


def test_an_export_keeps_ratings_and_adds_no_green_label(album: Album) -> None:
    both, other, inside = (
        (album.photos / name).read_bytes() for name in ("both.jpg.xmp", "both.xmp", "inside.xmp")
    )
    assert read_sidecar(both, "").owner_mark.rating == -1
    assert read_sidecar(other, "").owner_mark.rating == 5
    assert b">-1</xmp:Rating>" in inside
    assert b">Rot</xmp:Label>" in inside
    for content in (both, other, inside):
        assert b"Green" not in content
        assert b"bestshot:rejected" in content


def test_the_users_decisions_override_ratings(album: Album) -> None:
    system, run = album.system, album.run
    keep = pb.AppendDecisionRequest(
        album_id=run.album_id, action=pb.DECISION_ACTION_KEEP, paths=["inside.jpg"]
    )
    system.stub.AppendDecision(keep)
    reselected = system.stub.Reselect(pb.ReselectRequest(run_id=run.id)).run
    found = images(system, reselected.id)
    assert found["inside.jpg"].reason_code == pb.REASON_CODE_USER_KEEP
    why = system.stub.ExplainImage(pb.ExplainImageRequest(run_id=reselected.id, path="inside.jpg"))
    assert any("although its rating in the file is -1" in line for line in why.explanation.lines)
    request = pb.ReselectRequest(run_id=run.id)
    request.config_overrides.update({"select_best": {"use_owner_ratings": False}})
    off = images(system, system.stub.Reselect(request).run.id)
    owners = (pb.REASON_CODE_OWNER_KEEP, pb.REASON_CODE_OWNER_REJECT)
    assert not any(image.reason_code in owners for image in off.values())
    assert off["both.jpg"].owner_mark.rating == -1, "it is kept and shown"
