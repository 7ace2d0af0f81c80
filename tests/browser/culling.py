"""Runs for the Cull view, written straight to the database; the files and pictures are real."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from orchestrator import features as codec
from orchestrator.config import PipelineConfig
from orchestrator.domain.photo import FaceScores
from orchestrator.metrics import RunMetrics
from orchestrator.records import Album, ImageRecord, Run, RunState, summarize, utc_now
from orchestrator.runs.recorded_settings import record_config
from orchestrator.runs.selection import Moments, add_verdicts, assign_moments, build_selection
from orchestrator.runs.stored_features import thumbnail_key
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.rendition_files import PREVIEW_PX, RenditionFiles, rendition_key
from orchestrator.storage.run_store import SqlRunStore
from services.common.imaging.decode import CanonicalImage, decode, encode_thumbnail
from tests.conftest import ROOT
from tests.unit.values import quality

SHOT_COUNT = 5
MAX_PIXELS = 10**9
_CALIBRATION = (0.4, 0.3)
_MODELS = {
    role: {
        **dict.fromkeys(("fallback_for_model_id", "description"), ""),
        "id": role,
        "version": "1",
        "digest": role,
        "origin": "builtin",
        "is_heuristic": False,
    }
    for role in ("embedding", "siamese")
}


@dataclass(frozen=True)
class Made:
    """A completed run: its photos in the order of the view, and which of them were picked."""

    album_id: str
    run_id: str
    paths: list[str]
    picked: set[str]

    @property
    def address(self) -> str:
        return f"cull/{self.album_id}/{self.run_id}"


def with_comment(jpeg: bytes, comment: str) -> bytes:
    """Returns the same picture as a different file."""
    text = comment.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


def make_run(
    engine: Engine,
    folder: Path,
    name: str,
    moment_count: int,
    *jpegs: bytes,
    faces: Sequence[tuple[FaceScores, ...]] = ((),) * SHOT_COUNT,
    ava_step: float = -1.0,
    previews: RenditionFiles | None = None,
) -> Made:
    """Stores a run whose moments have five shots each, the best one first.

    Args:
        engine: The database.
        folder: Gets the photos.
        name: Name of the album, from which its id and the run's id are made.
        moment_count: How many moments.
        jpegs: Pictures, used in turn; every photo is a separate file.
        faces: The faces of each shot in a moment.
        ava_step: How much higher each shot's aesthetic score is than that of the shot before.
        previews: Gets the previews that a run makes; None = none, as in runs of earlier versions.
    """
    folder.mkdir(parents=True)
    store, cache = SqlRunStore(engine), SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    decoded = [decode(jpeg, max_pixels=MAX_PIXELS) for jpeg in jpegs]
    thumbnails = [encode_thumbnail(picture.pixels, 320) for picture in decoded]
    photos, features, labels = [], {}, []
    vectors = np.eye(moment_count, dtype=np.float32)
    for number in range(moment_count * SHOT_COUNT):
        moment, shot = divmod(number, SHOT_COUNT)
        content = with_comment(jpegs[number % len(jpegs)], f"{name} {number}")
        path = f"{moment + 1:03}-{shot + 1}.jpg"
        (folder / path).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        made = _record(path, digest, decoded[number % len(jpegs)], shot, ava_step)
        photos.append(dataclasses.replace(made, faces=faces[shot]))
        labels.append(moment)
        vector = codec.pack_embedding(vectors[moment])
        features[(digest, codec.EMBEDDING_ROLE, "embedding")] = vector
        features[thumbnail_key(digest)] = thumbnails[number % len(jpegs)]
        if previews is not None:
            pixels = decoded[number % len(jpegs)].pixels
            jpeg = encode_thumbnail(pixels, PREVIEW_PX)
            previews.keep(rendition_key(digest, max(pixels.shape[:2])), jpeg)
    cache.put(features)
    settings = PipelineConfig(ROOT / "configs", "builtin").load()
    in_moments = assign_moments(
        photos, Moments(np.array(labels), [None] * len(labels), [None] * len(labels)), ()
    )
    selection = build_selection(in_moments, vectors[labels], settings, {})
    records = add_verdicts(in_moments, selection, {})
    album_id, run_id = (hashlib.md5(f"{name} {what}".encode()).hexdigest() for what in "ar")
    store.add_album(Album(album_id, name, str(folder), utc_now()))
    now = utc_now()
    run = Run(
        id=run_id,
        album_id=album_id,
        state=RunState.COMPLETED,
        profile="builtin",
        config=record_config(settings, _CALIBRATION),
        models=_MODELS,
        versions={},
        create_time=now,
        start_time=now,
        end_time=now,
        summary=summarize(records, 0, 1.0),
    )
    store.save_results(run, records)
    picked = {record.path for record in records if record.is_selected}
    return Made(album_id, run_id, [record.path for record in records], picked)


def _record(
    path: str, digest: str, picture: CanonicalImage, shot: int, ava_step: float
) -> ImageRecord:
    """Builds a record; by default, each shot is worse than the one before, by more than a tie."""
    return dataclasses.replace(
        ImageRecord(path, digest, 1_000_000),
        width_px=picture.source_width_px,
        height_px=picture.source_height_px,
        format="JPEG",
        capture_time=f"2026-05-17T10:00:{shot:02}",
        camera="Canon EOS R5",
        quality=quality(
            iqa_score=0.9 - 0.1 * shot,
            ava_score=8.0 + ava_step * shot if ava_step < 0 else 5.0 + ava_step * shot,
        ),
    )
