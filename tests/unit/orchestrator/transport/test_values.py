"""The command line reads the same values that the store contains."""

from __future__ import annotations

import dataclasses
import datetime
import json

from orchestrator.domain.alteration import Edit
from orchestrator.domain.photo import CameraFacts, Landmark, OwnerMark
from orchestrator.domain.scoring import FaceFault
from orchestrator.records import Album, ImageRecord, Run, RunState, RunSummary
from orchestrator.review.run_diff import Change, compare_runs
from orchestrator.transport import values
from orchestrator.transport.converters import (
    album_message,
    diff_message,
    image_message,
    run_message,
)
from tests.unit.values import PENALTIES, face, quality

NOW = datetime.datetime(2026, 5, 17, 10, tzinfo=datetime.UTC)
DIGEST = "d" * 64
MODEL = {
    "id": "builtin-quality",
    "version": "1",
    "digest": DIGEST,
    "input_long_side_px": 0,
    "execution_providers": ["CPUExecutionProvider"],
    "origin": "builtin",
    "description": "formulas",
    "max_batch_count": 64,
    "paths": [],
    "file_digests": [],
    "fallback_for_model_id": "",
    "missing_execution_providers": [],
    "runtime_versions": {"onnxruntime": "1"},
    "file_sources": [],
    "is_heuristic": True,
}
RUN = Run(
    id="r",
    album_id="a",
    state=RunState.COMPLETED,
    profile="builtin",
    config={"select_best": {"max_images_per_cluster": 2, "weight": 0.1, "path": None}},
    models={"quality": MODEL, "siamese": MODEL},
    versions={"python": "3"},
    create_time=NOW,
    summary=RunSummary(3, 1, 1, 1, 1, 0, 1.5),
    decisions={DIGEST: "keep"},
    corrections=[{"action": "move", "content_digests": [DIGEST], "target_digest": "e" * 64}],
)
RECORD = ImageRecord(
    path="sub/a.jpg",
    content_digest=DIGEST,
    size_bytes=5,
    width_px=4,
    height_px=3,
    capture_time="2026-05-17T10:00:00",
    capture_time_source="EXIF DateTimeOriginal",
    capture_utc_offset="+02:00",
    camera="x",
    camera_facts=CameraFacts(make="x", iso=800, exposure_bias_ev=-0.0, is_flash_fired=False),
    owner_mark=OwnerMark(rating=-1, label="Rot", source="sub/a.xmp"),
    companion_paths=("sub/a.mov",),
    version_of_path="sub/a_original.jpg",
    format="JPEG",
    quality=quality(ava_distribution=(0.25, 0.75)),
    faces=(
        face(
            left=0.25,
            top=0.5,
            width=0.125,
            height=0.25,
            landmarks=(Landmark("nose", 0.5, 0.5),),
        ),
    ),
    pose_score=1 / 3,
    eyes_score=0.0,
    smile_score=None,
    face_faults=(FaceFault.EYES_CLOSED, FaceFault.NOT_SMILING),
    cluster_id=0,
    machine_cluster_id=-1,
    person_penalty=0.0,
    composite_score=0.1,
    is_selected=True,
    reason_code="SELECTED_BEST",
    reason="the best",
    set_kind="exposure_bracket",
    set_id=0,
    set_place=2,
    set_size=3,
    altered_from_path="sub/b.jpg",
    alterations=(Edit.CROPPED, Edit.MIRRORED),
)


def test_a_result_is_converted_without_loss() -> None:
    assert values.image_value(image_message(RECORD, None, PENALTIES)) == RECORD
    unread = ImageRecord(
        path="b", content_digest="", size_bytes=0, error="torn", reason_code="UNREADABLE"
    )
    assert values.image_value(image_message(unread, None, PENALTIES)) == unread


def test_a_run_is_converted_without_loss() -> None:
    found = values.run_value(run_message(RUN, whole=True))
    assert found == RUN
    # int and float are equal, but are printed differently
    assert json.dumps(found.config, sort_keys=True) == json.dumps(RUN.config, sort_keys=True)
    assert list(found.models) == ["quality", "siamese"]


def test_an_album_is_converted_without_loss() -> None:
    for album in (
        Album("a", "name", "/photos", NOW),
        Album("a", "name", "/photos", NOW, ("/more", "/yet more")),
    ):
        assert values.album_value(album_message(album)) == album


def test_a_diff_is_converted_without_loss() -> None:
    changed = dataclasses.replace(RECORD, composite_score=0.2, cluster_id=1, reason="no")
    alone = [dataclasses.replace(RECORD, path=f"{name}.jpg") for name in "xy"]
    after = [changed, dataclasses.replace(alone[0], cluster_id=2)]
    config = {"select_best": {"max_images_per_cluster": 1, "weight": 0.1, "path": "p"}}
    other = dataclasses.replace(RUN, config=config)
    diff = compare_runs(RUN, [RECORD, *alone], other, after)
    assert Change("", "select_best.max_images_per_cluster", 2, 1) in diff.settings
    first = diff_message(diff, diff.photos[:1])
    second = diff_message(diff, diff.photos[1:])
    photo_changes = [*first.photo_changes, *second.photo_changes]
    assert values.diff_value(first, photo_changes) == diff
