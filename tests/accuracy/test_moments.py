"""Moments of real photos with every embedding, each at its calibrated setting.

The embeddings and clustering are called directly in this process: each photo is read once, and only
the scores that moments need are computed.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from orchestrator import features as codec
from orchestrator.config import PipelineConfig, resolve_auto
from orchestrator.metadata.reader import assemble_facts, read_metadata
from orchestrator.records import ImageRecord
from orchestrator.runs.measure_overlap import Picture, count_common_features, describe
from orchestrator.runs.pipeline import THUMBNAIL_LONG_SIDE_PX
from orchestrator.runs.selection import find_moments
from services.common.config.folders import models_dir
from services.common.errors import InvalidImageError
from services.common.imaging.decode import RgbImage, decode, fit_long_side
from services.common.imaging.miniature import miniature
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.registry import LocalModel, MissingModelError, Role, resolve
from services.embedding.model import EmbeddingModel, load_networks
from tests.accuracy.conftest import Figures, pull_embedding
from tests.conftest import ROOT

CONFIGS = ROOT / "configs"
ALBUMS = ("album", "trip", "temple")
BRACKETS = "brackets"
MODELS = {
    "builtin": "builtin-scene-embedding",
    "standard": "standard-scene-embedding",
    "lite": "mediapipe-mobilenet-v3-small",
}
MEAN_FLOORS = {"builtin": 0.90, "standard": 0.90, "lite": 0.85}
"""Minimum mean adjusted Rand index over the albums."""
MEAN_FLOORS_WITHOUT_TIME = {"builtin": 0.76, "standard": 0.85, "lite": 0.8}


@dataclass(frozen=True)
class Album:
    """Photos, and how people group them.

    Attributes:
        photos: Canonical images.
        groups: The group of each photo; a photo without a group is a separate group.
        is_counted: Whether each photo counts; photos with an ambiguous group do not.
        records: What a run needs to know about each photo to find its moment.
    """

    photos: list[RgbImage]
    groups: list[str]
    is_counted: list[bool]
    records: list[ImageRecord]

    @cached_property
    def thumbnails(self) -> dict[str, Picture]:
        """The local features of the photos, by content digest."""
        return {
            record.content_digest: describe(fit_long_side(photo, THUMBNAIL_LONG_SIDE_PX))
            for record, photo in zip(self.records, self.photos, strict=True)
        }

    def count_features(self, pairs: Sequence[tuple[str, str]]) -> list[int | None]:
        thumbnails = self.thumbnails
        return [
            count_common_features(*(thumbnails[digest] for digest in sorted(pair)))
            for pair in pairs
        ]

    @property
    def miniatures(self) -> NDArray[np.float32]:
        packed = (codec.pack_miniature(miniature(Image.fromarray(photo))) for photo in self.photos)
        return np.stack([codec.unpack_miniature(one) for one in packed])


@pytest.fixture(scope="module")
def albums(real_photos: Callable[[str], Path]) -> dict[str, Album]:
    """The albums with labelled moments, read once."""
    return {name: read_album(real_photos(name)) for name in (*ALBUMS, BRACKETS)}


def read_album(folder: Path) -> Album:
    groups = {row["file"]: row["group"] for row in read_table(folder / "groups.csv")}
    ambiguous = {row["file"] for row in read_table(folder / "ambiguous.csv")}
    album = Album([], [], [], [])
    for path in sorted(folder.iterdir()):
        try:
            content = path.read_bytes()
            photo = decode(content, max_pixels=10**9)
        except InvalidImageError:  # the labels
            continue
        album.photos.append(photo.pixels)
        album.records.append(
            ImageRecord(
                path.name,
                path.name,
                0,
                width_px=photo.source_width_px,
                height_px=photo.source_height_px,
                **assemble_facts(path.name, read_metadata(content), {}),
            )
        )
        album.groups.append(groups.get(path.name, f"single {path.name}"))
        album.is_counted.append(path.name not in ambiguous)
    return album


def read_table(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as opened:
        return list(csv.DictReader(opened))


@dataclass(frozen=True)
class Embedded:
    """The albums' embeddings from one model."""

    model: LocalModel
    vectors: dict[str, NDArray[np.float32]]
    cpu_ms: float

    def rand_index(self, album: Album, name: str, profile: str, *, has_times: bool = True) -> float:
        """Returns the adjusted Rand index of an album under the clustering values of a profile."""
        known = self.model.entry.calibration
        calibration = (known.scene_distance, known.cluster_selection_epsilon) if known else None
        settings = PipelineConfig(CONFIGS, profile).load(profile)
        parameters = resolve_auto(settings.cluster_scenes, calibration)
        if not has_times:
            time = replace(parameters.capture_time, weight=0.0)
            parameters = replace(parameters, capture_time=time)
        vectors, miniatures = self.vectors[name], album.miniatures
        labels = find_moments(
            vectors,
            miniatures,
            album.records,
            parameters,
            settings.keep_sets,
            count_features=album.count_features,
        ).labels
        moments = np.where(
            labels < 0, -1 - np.arange(len(labels)), labels
        )  # noise photos are single
        wanted = np.array(album.groups)[album.is_counted]
        return float(adjusted_rand_score(wanted, moments[album.is_counted]))


@pytest.fixture(scope="module")
def embedded(
    albums: dict[str, Album], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Embedded]:
    """Embeds the albums with the embedding of a profile, once; skips if it is not available."""
    done: dict[str, Embedded] = {}
    pulled = tmp_path_factory.mktemp("pulled")

    def find(profile: str) -> Embedded:
        if profile not in done:
            done[profile] = embed_albums(find_model(MODELS[profile], pulled), albums)
        return done[profile]

    return find


def find_model(model_id: str, pulled: Path) -> LocalModel:
    """Finds the model on this machine, or pulls it."""
    try:
        return resolve(CONFIGS, models_dir(), Role.EMBEDDING, model_id)
    except MissingModelError:
        pull_embedding(model_id, pulled)
        return resolve(CONFIGS, pulled, Role.EMBEDDING, model_id)


def embed_albums(model: LocalModel, albums: dict[str, Album]) -> Embedded:
    options = SessionOptions(intra_op_threads=1)
    embedding = EmbeddingModel(load_networks(model, lambda path: OrtSession(path, options)))
    side = model.entry.input_long_side_px
    embedding.embed(albums["album"].photos[0])  # the first inference allocates memory
    began = time.process_time()
    vectors = {
        name: np.stack([embedding.embed(fit_long_side(photo, side)) for photo in album.photos])
        for name, album in albums.items()
    }
    photo_count = sum(len(album.photos) for album in albums.values())
    return Embedded(model, vectors, 1000 * (time.process_time() - began) / photo_count)


@pytest.mark.parametrize("profile", MODELS)
def test_moments_match_how_people_group_the_photos(
    embedded: Callable[[str], Embedded], albums: dict[str, Album], figures: Figures, profile: str
) -> None:
    by_model = embedded(profile)
    found = {name: by_model.rand_index(albums[name], name, "builtin") for name in ALBUMS}
    mean = float(np.mean(list(found.values())))
    for name, index in found.items():
        row = figures.setdefault(f"moments of {name}, adjusted Rand index", {})
        row[profile] = f"{index:.3f}"
    floor = MEAN_FLOORS[profile]
    figures.setdefault("  their mean, and the minimum", {})[profile] = f"{mean:.3f}, {floor}"
    timeless = [
        by_model.rand_index(albums[name], name, "builtin", has_times=False) for name in ALBUMS
    ]
    mean_without, floor_without = float(np.mean(timeless)), MEAN_FLOORS_WITHOUT_TIME[profile]
    row = figures.setdefault("  the same without capture times", {})
    row[profile] = f"{mean_without:.3f}, {floor_without}"
    figures.setdefault("  CPU of embedding, ms per photo", {})[profile] = f"{by_model.cpu_ms:.0f}"
    assert mean >= floor
    assert mean_without >= floor_without


@pytest.mark.parametrize("profile", MODELS)
def test_every_exposure_series_is_one_moment(
    embedded: Callable[[str], Embedded], albums: dict[str, Album], figures: Figures, profile: str
) -> None:
    index = embedded(profile).rand_index(albums[BRACKETS], BRACKETS, "builtin")
    figures.setdefault("exposure series, adjusted Rand index", {})[profile] = f"{index:.3f}"
    assert index >= 0.9


def test_the_scene_distance_beats_plain_hdbscan(
    embedded: Callable[[str], Embedded], albums: dict[str, Album], figures: Figures
) -> None:
    builtin = embedded("builtin")
    for name in ("album", "trip"):
        plain = builtin.rand_index(albums[name], name, "reference")
        figures.setdefault(f"moments of {name}, adjusted Rand index", {})["reference"] = (
            f"{plain:.3f}"
        )
        bounded = builtin.rand_index(albums[name], name, "builtin")
        assert bounded >= 0.75
        assert bounded > plain
