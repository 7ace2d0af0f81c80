"""XMP sidecars are merged into existing ones, and exiftool reads them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from orchestrator.domain.photo import OwnerMark, UserMark
from orchestrator.export.face_regions import FaceRegion, FaceRegions
from orchestrator.export.output_folder import open_output
from orchestrator.export.sidecars import (
    merged_sidecar,
    sidecar_paths,
    stage_sidecars,
    write_sidecars_beside,
)
from orchestrator.export.xmp import find_overruled, sidecar
from orchestrator.metadata.reader import read_sidecar
from orchestrator.records import FacePerson, ImageRecord
from services.common.errors import InvalidArgumentError
from tests.unit.values import TO_STORED, face, quality

LIGHTROOM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <!-- a comment of somebody's -->
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
   xmp:Rating="3"
   xmp:CreatorTool="Lightroom"
   crs:Exposure2012="+0.35">
   <dc:subject><rdf:Bag><rdf:li>Italy</rdf:li><rdf:li>bestshot:moment-9</rdf:li></rdf:Bag></dc:subject>
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Über den Dächern</rdf:li></rdf:Alt></dc:title>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>""".encode()


def record(path: str = "a.jpg", **changes: Any) -> ImageRecord:
    values = {
        "quality": quality(),
        "cluster_id": 1,
        "composite_score": 0.625,
        "is_selected": True,
        "reason_code": "SELECTED_BEST",
        "reason": 'Selected: the best of <2> & "only" shots.',
        **changes,
    }
    return ImageRecord(path, "digest", 1, **values)  # type: ignore[arg-type]


def left(**changes: Any) -> ImageRecord:
    return record(is_selected=False, reason_code="LOWER_SCORE", **changes)


def tags(content: bytes, folder: Path) -> dict[str, Any]:
    """Returns the tags that exiftool reads, with numbers as written."""
    if shutil.which("exiftool") is None:
        if "CI" in os.environ:
            raise AssertionError("this test needs the Debian package libimage-exiftool-perl")
        pytest.skip("exiftool is not installed")
    place = folder / "read.xmp"
    place.write_bytes(content)
    command = ["exiftool", "-json", "-n", "-validate", "-warning", "-all", str(place)]
    answer = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return dict(json.loads(answer)[0])


def test_a_new_sidecar_is_read_by_exiftool(tmp_path: Path) -> None:
    found = tags(sidecar(record()), tmp_path)
    assert "Warning" not in found
    assert (found["Rating"], found["Label"]) == (5, "Green")
    assert found["Subject"] == ["bestshot:selected", "bestshot:moment-2"]
    assert found["CompositeScore"] == 0.625
    assert found["Reason"] == record().reason
    rejected = record(is_selected=False, reason_code="USER_REJECT")
    found = tags(sidecar(rejected), tmp_path)
    assert (found["Rating"], found["Label"]) == (-1, "Red")
    assert "bestshot:rejected" in found["Subject"]
    found = tags(sidecar(left(cluster_id=-1)), tmp_path)
    assert found["Rating"] == 1
    assert "Label" not in found
    assert "Subject" not in found


@pytest.mark.slow
@given(reason=st.text())
def test_any_file_name_in_a_reason_can_be_written(reason: str) -> None:
    written = sidecar(record(reason=f"Sharper than {reason}\x01"))
    assert sidecar(record(reason=f"Sharper than {reason}\x01"), written) == written


def test_data_from_other_programs_survives(tmp_path: Path) -> None:
    merged = sidecar(record(), LIGHTROOM)
    found = tags(merged, tmp_path)
    assert "Warning" not in found
    assert (found["CreatorTool"], found["Exposure2012"]) == ("Lightroom", "+0.35")
    assert found["Title"] == "Über den Dächern"
    assert found["Subject"] == ["Italy", "bestshot:selected", "bestshot:moment-2"]
    assert found["Rating"] == 3, "the user's own"
    assert found["Label"] == "Green", "there was none"
    for piece in (b"<?xpacket begin=", b"<?xpacket end=", b"a comment of somebody's"):
        assert piece in merged


def test_persons_are_read_by_exiftool_and_those_of_other_programs_kept(tmp_path: Path) -> None:
    first = sidecar(record(person_names=("Ann", "Ben")), LIGHTROOM)
    found = tags(first, tmp_path)
    assert "Warning" not in found
    assert found["PersonInImage"] == ["Ann", "Ben"]
    edited = first.replace(b"<rdf:li>Ben</rdf:li>", b"<rdf:li>Ben</rdf:li><rdf:li>Cid</rdf:li>")
    renamed = sidecar(record(person_names=("Ann", "Bob", "Cid")), edited)
    assert sorted(tags(renamed, tmp_path)["PersonInImage"]) == ["Ann", "Bob", "Cid"]
    assert tags(sidecar(record(), renamed), tmp_path)["PersonInImage"] == "Cid"


FOREIGN = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"
    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#">
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions stDim:w="400" stDim:h="300" stDim:unit="pixel"/>
    <mwg-rs:RegionList><rdf:Bag>
     <rdf:li rdf:parseType="Resource">
      <mwg-rs:Name>Ann</mwg-rs:Name>
      <mwg-rs:Type>Face</mwg-rs:Type>
      <mwg-rs:Area rdf:parseType="Resource">
       <stArea:x>0.21</stArea:x><stArea:y>0.2</stArea:y>
       <stArea:w>0.3</stArea:w><stArea:h>0.3</stArea:h><stArea:unit>normalized</stArea:unit>
      </mwg-rs:Area>
     </rdf:li>
     <rdf:li><rdf:Description mwg-rs:Name="Rex" mwg-rs:Type="Pet" mwg-rs:Rotation="0.1">
      <mwg-rs:Area stArea:x="0.7" stArea:y="0.7" stArea:w="0.1" stArea:h="0.1"/>
     </rdf:Description></rdf:li>
    </rdf:Bag></mwg-rs:RegionList>
   </mwg-rs:Regions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
"""Regions as exiftool and as Lightroom write them."""


def region(name: str, x: float = 0.2, y: float = 0.2) -> FaceRegion:
    return FaceRegion(name, f"{x:.6f}", f"{y:.6f}", "0.200000", "0.200000")


def regions(*faces: FaceRegion) -> FaceRegions:
    return FaceRegions(400, 300, faces)


def region_names(content: bytes, folder: Path) -> list[str]:
    names = tags(content, folder).get("RegionName", [])
    return names if isinstance(names, list) else [names]


def with_marked_face(orientation: int, path: str, folder: Path) -> ImageRecord:
    """Saves a picture, stored in `orientation`, with a white mark where Ann's face is."""
    upright = Image.new("RGB", (320, 160))
    upright.paste("white", (32, 16, 96, 48))
    exif = Image.Exif()
    exif[0x0112] = orientation
    method = TO_STORED[orientation]
    stored = upright if method is None else upright.transpose(method)
    stored.save(folder / path, exif=exif)
    marked = face(left=0.1, top=0.1, width=0.2, height=0.2)
    people = (FacePerson("p1", "Ann"), FacePerson("p2", ""), None)
    return record(
        path, width_px=320, height_px=160, faces=(marked, face(), face()), face_people=people
    )


def test_named_faces_become_regions_of_the_stored_picture(tmp_path: Path) -> None:
    photos = [with_marked_face(turn, f"{turn}.png", tmp_path) for turn in TO_STORED]
    assert list(write_sidecars_beside(tmp_path, photos)) == []
    for photo in photos:
        place = tmp_path / photo.path
        found = tags(place.with_suffix(".xmp").read_bytes(), tmp_path)
        assert "Warning" not in found
        assert (found["RegionName"], found["RegionType"]) == ("Ann", "Face")
        assert found["RegionAreaUnit"] == "normalized"
        assert found["RegionAppliedToDimensionsUnit"] == "pixel"
        width, height = (found[f"RegionAppliedToDimensions{side}"] for side in "WH")
        x, y, wide, high = (found[f"RegionArea{side}"] for side in "XYWH")
        left, top = round((x - wide / 2) * width), round((y - high / 2) * height)
        right, bottom = round((x + wide / 2) * width), round((y + high / 2) * height)
        with Image.open(place) as stored:
            assert stored.size == (width, height)
            assert stored.convert("L").getbbox() == (left, top, right, bottom)


def test_regions_of_other_programs_are_kept_and_ours_follow_the_names(tmp_path: Path) -> None:
    first = sidecar(record(), FOREIGN, regions(region("Ann"), region("Ben", 0.5)))
    assert region_names(first, tmp_path) == ["Ann", "Rex", "Ben"], "Ann was marked already"
    assert sidecar(record(), first, regions(region("Ann"), region("Ben", 0.5))) == first
    assert sidecar(record(), first) == first, "what is unclear changes nothing"
    renamed = sidecar(record(), first, regions(region("Ann", 0.9), region("Bob", 0.5)))
    assert region_names(renamed, tmp_path) == ["Ann", "Rex", "Ann", "Bob"]
    found = tags(sidecar(record(), renamed, regions()), tmp_path)
    assert (found["RegionName"], found["RegionRotation"]) == (["Ann", "Rex"], 0.1)
    assert found["RegionAreaX"] == [0.21, 0.7]
    own = sidecar(record(), None, regions(region("Ann")))
    assert b"Regions" not in sidecar(record(), own, regions()), "nobody is named now"


def test_no_region_is_added_to_those_of_a_crop(tmp_path: Path) -> None:
    cropped = FOREIGN.replace(b'stDim:w="400"', b'stDim:w="300"')
    merged = sidecar(record(), cropped, regions(region("Ben")))
    assert region_names(merged, tmp_path) == ["Ann", "Rex"]


def test_a_sidecar_changed_in_the_output_folder_gets_our_regions(tmp_path: Path) -> None:
    photos, changed = tmp_path / "photos", tmp_path / "out" / "xmp" / "a.xmp"
    photos.mkdir()
    changed.parent.mkdir(parents=True)
    changed.write_bytes(LIGHTROOM)
    photo = with_marked_face(6, "a.png", photos)
    with open_output(tmp_path / "out", photos) as output:
        make = partial(merged_sidecar, photos)
        assert list(stage_sidecars([photo], output, "xmp", make)) == []
        output.commit()
    found = tags(changed.read_bytes(), tmp_path)
    assert (found["RegionName"], found["Title"]) == ("Ann", "Über den Dächern")


def test_a_photo_that_cannot_be_read_gets_no_regions(tmp_path: Path) -> None:
    photo = with_marked_face(1, "a.png", tmp_path)
    (tmp_path / "a.png").unlink()
    assert list(write_sidecars_beside(tmp_path, [photo])) == []
    assert b"Regions" not in (tmp_path / "a.xmp").read_bytes()


def test_our_rating_is_updated_and_the_users_rating_is_kept(tmp_path: Path) -> None:
    ours = sidecar(record())
    assert tags(sidecar(left(), ours), tmp_path)["Rating"] == 1
    theirs = re.sub(rb"(<xmp:Rating[^>]*>)5<", rb"\g<1>4<", ours)
    assert theirs != ours
    assert tags(sidecar(left(), theirs), tmp_path)["Rating"] == 4
    unrated = LIGHTROOM.replace(b'Rating="3"', b'Rating="0"')
    assert tags(sidecar(record(), unrated), tmp_path)["Rating"] == 5


def test_the_users_stars_count_before_other_marks_but_never_replace_the_owners(
    tmp_path: Path,
) -> None:
    marked = record(
        owner_mark=OwnerMark(rating=2, label="Blau", source="the file"),
        user_mark=UserMark(4, "yellow"),
    )
    found = tags(sidecar(marked), tmp_path)
    assert (found["Rating"], found["Label"]) == (4, "Yellow")
    again = sidecar(dataclasses.replace(marked, user_mark=UserMark()), sidecar(marked))
    assert (tags(again, tmp_path)["Rating"], tags(again, tmp_path)["Label"]) == (2, "Blau")

    copy = tags(sidecar(marked, LIGHTROOM, is_copy=True), tmp_path)
    assert (copy["Rating"], copy["Label"], copy["Title"]) == (4, "Yellow", "Über den Dächern")
    merged = sidecar(marked, LIGHTROOM)
    assert tags(merged, tmp_path)["Rating"] == 3
    assert b"<bestshot:Rating" in merged
    assert find_overruled(marked, LIGHTROOM) == ["rating 3 (in bestshot: 4)"]
    assert find_overruled(marked, sidecar(marked)) == []
    rejected = record(is_selected=False, reason_code="USER_REJECT", user_mark=UserMark(stars=5))
    found = tags(sidecar(rejected), tmp_path)
    assert found["Rating"] == 5
    assert "bestshot:rejected" in found["Subject"]


def rejected_by_owner(**changes: Any) -> ImageRecord:
    mark = OwnerMark(rating=-1, label="Rot", source="the file")
    values = {"is_selected": False, "reason_code": "OWNER_REJECT", "owner_mark": mark, **changes}
    return record(**values)


def test_a_photo_that_its_owner_rejected_stays_rejected(tmp_path: Path) -> None:
    by_0_1_0 = sidecar(record()).replace(b">5</xmp:Rating>", b">-1</xmp:Rating>")
    mark = OwnerMark(rating=-1, source="a.xmp")
    content = by_0_1_0
    for _ in range(2):
        content = sidecar(rejected_by_owner(owner_mark=mark), content)
        found = tags(content, tmp_path)
        assert (found["Rating"], found["Label"]) == (-1, "Red")
        assert found["Subject"] == ["bestshot:rejected", "bestshot:moment-2"]
        assert read_sidecar(content, "a.xmp").owner_mark.rating == -1, "still the owner's"
    kept_here = sidecar(record(reason_code="USER_KEEP", owner_mark=mark), content)
    assert tags(kept_here, tmp_path)["Rating"] == -1, "never overwritten"


def test_a_new_sidecar_copies_the_rating_in_the_photo(tmp_path: Path) -> None:
    content = sidecar(rejected_by_owner())
    found = tags(content, tmp_path)
    assert (found["Rating"], found["Label"]) == (-1, "Rot")
    assert read_sidecar(content, "a.xmp").owner_mark == OwnerMark(), "it is ours"
    kept_here = sidecar(rejected_by_owner(is_selected=True, reason_code="USER_KEEP"))
    assert tags(kept_here, tmp_path)["Rating"] == -1
    rated = sidecar(left(owner_mark=OwnerMark(rating=3, source="the file")))
    assert tags(rated, tmp_path)["Rating"] == 3


def test_bestshots_own_rating_is_never_mistaken_for_the_owners(tmp_path: Path) -> None:
    content = None
    for one in (record(), left(), record(is_selected=False, reason_code="USER_REJECT")):
        content = sidecar(one, content)
        assert read_sidecar(content, "a.xmp").owner_mark == OwnerMark()


records = st.builds(
    record,
    is_selected=st.booleans(),
    reason_code=st.sampled_from(["SELECTED_BEST", "LOWER_SCORE", "USER_REJECT", "OWNER_REJECT"]),
    cluster_id=st.integers(-1, 99),
    composite_score=st.floats(-1, 1),
    reason=st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1),
)


@given(st.lists(records, min_size=1, max_size=4), st.sampled_from([None, LIGHTROOM]))
def test_only_the_last_of_several_merges_has_an_effect(
    history: list[ImageRecord], start: bytes | None
) -> None:
    content = start
    for one in history:
        content = sidecar(one, content)
    assert content is not None
    assert sidecar(history[-1], content) == content
    straight = sidecar(history[-1], start)
    for name in (b"Rating", b"Label", b"bestshot:", b"CompositeScore", b"Italy", b"Exposure2012"):
        assert content.count(name) == straight.count(name)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no xml", "it is not XML"),
        (b"<a/>", "rdf:RDF is missing"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "document type declaration"),
    ],
)
def test_content_that_is_not_xmp_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        sidecar(record(), content)


def test_sidecars_beside_photos_are_merged_and_never_replaced(tmp_path: Path) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg", "c.png", "d.jpg", "sub/e.jpg"]
    photos = [record(name) for name in names]
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.xmp").write_bytes(LIGHTROOM)
    (tmp_path / "b.jpg.xmp").write_bytes(LIGHTROOM)
    (tmp_path / "d.xmp").write_bytes(b"torn")
    warnings = list(write_sidecars_beside(tmp_path, photos))
    assert warnings == [
        f"left {tmp_path / 'd.xmp'} unchanged: it is not XML: "
        f"Start tag expected, '<' not found, line 1, column 1 (<string>, line 1)"
    ]
    assert (tmp_path / "d.xmp").read_bytes() == b"torn"
    for name in ("a.xmp", "b.jpg.xmp"):
        assert b"Exposure2012" in (tmp_path / name).read_bytes()
        assert b"bestshot:selected" in (tmp_path / name).read_bytes()
    written = {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert written == {
        "a.xmp",
        "b.jpg.xmp",
        "c.jpg.xmp",
        "c.png.xmp",
        "d.xmp",
        "sub/e.xmp",
    }


def test_sidecars_elsewhere_equal_those_beside_the_photos(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.xmp").write_bytes(LIGHTROOM)
    out = tmp_path / "out"

    def write() -> list[str]:
        with open_output(out, photos) as output:
            warnings = list(
                stage_sidecars([record()], output, "xmp", partial(merged_sidecar, photos))
            )
            return [*warnings, *output.commit()]

    assert write() == []
    assert b"Exposure2012" in (out / "xmp" / "a.xmp").read_bytes()
    assert (photos / "a.xmp").read_bytes() == LIGHTROOM
    (out / "xmp" / "a.xmp").write_bytes(LIGHTROOM.replace(b"Italy", b"Spain"))
    assert write() == []
    assert b"Spain" in (out / "xmp" / "a.xmp").read_bytes()
    (photos / "a.xmp").write_bytes(b"torn")
    assert b"Italy" not in merged_sidecar(photos, record(), "a.xmp")


def test_photos_that_differ_only_in_their_suffix_keep_it() -> None:
    names = sidecar_paths([record("a.jpg"), record("b.jpg"), record("b.heic"), record("c/a.jpg")])
    assert names == {
        "a.jpg": ("a.xmp",),
        "b.jpg": ("b.jpg.xmp",),
        "b.heic": ("b.heic.xmp",),
        "c/a.jpg": ("c/a.xmp",),
    }


def test_all_sidecars_of_a_photo_are_kept_and_updated(tmp_path: Path) -> None:
    pair = record(companion_paths=("a.dng", "a.dng.xmp", "a.xmp"))
    (tmp_path / "a.xmp").write_bytes(LIGHTROOM)
    (tmp_path / "a.dng.xmp").write_bytes(LIGHTROOM.replace(b"Italy", b"Spain"))
    assert sidecar_paths([pair]) == {"a.jpg": ("a.dng.xmp", "a.xmp")}
    assert b"Spain" in merged_sidecar(tmp_path, pair, "a.dng.xmp")
    assert b"Italy" in merged_sidecar(tmp_path, pair, "a.xmp")
    assert list(write_sidecars_beside(tmp_path, [pair])) == []
    for name in ("a.xmp", "a.dng.xmp"):
        assert b"bestshot:selected" in (tmp_path / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dng.xmp", "a.xmp"]
    # one that was added after the run
    (tmp_path / "a.jpg.xmp").write_bytes(LIGHTROOM)
    assert list(write_sidecars_beside(tmp_path, [pair])) == []
    assert b"bestshot:selected" in (tmp_path / "a.jpg.xmp").read_bytes()


@pytest.mark.parametrize("planted", ["pipe", "folder", "device", "large"])
def test_a_sidecar_beyond_the_limits_is_left_unchanged(tmp_path: Path, planted: str) -> None:
    target = tmp_path / "a.xmp"
    if planted == "pipe":
        os.mkfifo(target)
    elif planted == "folder":
        target.mkdir()
    elif planted == "device":
        target.symlink_to("/dev/zero")
    else:
        with target.open("wb") as sparse:
            sparse.truncate(1 << 40)
    kind = target.lstat().st_mode
    (warning,) = write_sidecars_beside(tmp_path, [record()])
    assert f"left {target} unchanged" in warning
    assert target.lstat().st_mode == kind


def test_a_sidecar_with_many_levels_or_entities_is_refused_quickly() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><x>&b;</x>'
    for content in (b"<a>" * 100_000, bomb.encode()):
        with pytest.raises(InvalidArgumentError):
            sidecar(record(), content)
