"""An album that changes between two runs: only new content is computed, and no result is stale."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from PIL import Image

from tests.conftest import draw_picture
from tests.integration.parts import Orchestrator, Part, orchestrator

COUNT = 6


@dataclass(frozen=True)
class Runs:
    """Two runs of one album, and the orchestrator that ran them."""

    system: Orchestrator
    first_id: str
    first: dict[str, pb.ImageResult]
    second: dict[str, pb.ImageResult]
    run: pb.Run


def images(system: Orchestrator, run_id: str) -> dict[str, pb.ImageResult]:
    found = system.stub.ListImages(pb.ListImagesRequest(run_id=run_id)).images
    return {image.path: image for image in found}


def write(place: Path, seed: int) -> None:
    """Writes a picture that has the same size in bytes and the same time as all others."""
    Image.fromarray(draw_picture(seed)).save(place)
    os.utime(place, (10**9, 10**9))


@pytest.fixture(scope="module")
def runs(services: dict[str, Part], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    base = tmp_path_factory.mktemp("growing")
    photos = base / "photos"
    (photos / "sub").mkdir(parents=True)
    for seed in range(COUNT):
        write(photos / f"{seed}.bmp", seed)
    addresses = {name: part.address for name, part in services.items()}
    with orchestrator(base, addresses, photos) as system:
        first = system.end(system.begin())
        assert list(first.notes) == []
        before = images(system, first.id)
        reject = pb.AppendDecisionRequest(
            album_id=first.album_id,
            action=pb.DECISION_ACTION_REJECT,
            paths=["1.bmp", "2.bmp"],
        )
        system.stub.AppendDecision(reject)
        size = (photos / "0.bmp").stat().st_size
        (photos / "0.bmp").unlink()
        (photos / "1.bmp").rename(photos / "sub" / "renamed.bmp")
        write(photos / "2.bmp", 20)  # a different picture under the same name
        assert (photos / "2.bmp").stat().st_size == size
        write(photos / "new.bmp", 30)
        second = system.end(system.begin())
        yield Runs(system, first.id, before, images(system, second.id), second)


def test_only_new_content_is_computed_and_the_summary_counts_it(runs: Runs) -> None:
    assert list(runs.run.notes) == [
        "Since the last run: 1 new, 1 changed, 1 renamed, 1 gone; scores of 4 photos reused."
    ]
    score = next(stage for stage in runs.run.stages if stage.stage == "score")
    assert (score.total_count, score.cached_count) == (COUNT, 4)
    assert set(runs.second) == {*("2.bmp", "3.bmp", "4.bmp", "5.bmp", "new.bmp", "sub/renamed.bmp")}


def test_a_file_replaced_under_the_same_name_keeps_no_score_or_decision(runs: Runs) -> None:
    """Its size and time are the same as before, so only the sha256 of the content differs."""
    before, after = runs.first["2.bmp"], runs.second["2.bmp"]
    assert after.size_bytes == before.size_bytes
    assert after.content_digest != before.content_digest
    assert after.quality != before.quality
    assert after.decision == pb.DECISION_UNSPECIFIED


def test_a_replaced_file_is_not_shown_in_place_of_the_old_one(runs: Runs) -> None:
    large = pb.GetThumbnailRequest(run_id=runs.first_id, path="2.bmp", long_side_px=500)
    shown = Image.open(io.BytesIO(runs.system.stub.GetThumbnail(large).jpeg))
    old, new = draw_picture(2), draw_picture(20)
    differences = [np.abs(np.asarray(shown, float) - one).mean() for one in (old, new)]
    assert differences[0] < 3 < differences[1]


def test_a_renamed_file_keeps_its_scores_and_the_users_decision(runs: Runs) -> None:
    before, after = runs.first["1.bmp"], runs.second["sub/renamed.bmp"]
    assert after.content_digest == before.content_digest
    assert after.quality == before.quality
    assert list(after.faces) == list(before.faces)
    assert after.decision == pb.DECISION_REJECT
    assert after.reason_code == pb.REASON_CODE_USER_REJECT


def test_a_run_of_an_unchanged_album_mentions_no_changes(runs: Runs) -> None:
    again = runs.system.end(runs.system.begin())
    assert list(again.notes) == []
    assert again.summary.cached_count == COUNT


def test_a_run_keeps_the_picks_of_the_last_one_and_names_it(runs: Runs) -> None:
    again = runs.system.end(runs.system.begin())
    assert again.reference_run_id
    found = images(runs.system, again.id)
    for path, before in runs.second.items():
        assert (found[path].cluster_id, found[path].reason) == (before.cluster_id, before.reason)
