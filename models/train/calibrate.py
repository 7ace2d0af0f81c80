"""Finds the `auto` values for an embedding: its scene_distance and cluster_selection_epsilon.

    python -P -m models.train.calibrate --pictures FOLDER [--photos FOLDER ...] [--album FOLDER ...]

Builds many albums with known groups: single pictures, and scenes of several shots, which are
simulated from one picture by varying the properties that differ between shots (viewpoint, framing,
tilt, exposure, focus, noise). Because the scenes of a real album resemble one another, some scenes
are the two halves of one picture. Each pair of distances is scored by the mean adjusted Rand index
over the albums, with the same clustering as in a run. Simulated scenes differ from one another more
than those of a real album, which show one place, and their shots vary more, so simulated albums
alone give a distance that is too large. Real albums with labelled moments (`--album`) therefore
count as much as all simulated ones together. Of the pairs within one standard error of the best
(Breiman et al. 1984), the one nearest to their middle is chosen, because it is on a plateau and not
on an edge. The albums on which bestshot is evaluated are not used.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from models.train import pictures
from models.train.degrade import defocus, noise
from orchestrator.config import PipelineSettings, resolve_auto
from orchestrator.domain.moments.clustering import cluster_scenes
from orchestrator.domain.moments.parameters import WITHOUT_TIME, ClusterParameters
from services.common.config.folders import models_dir
from services.common.config.layers import Layer, load, read_yaml
from services.common.imaging.decode import RgbImage, decode, fit_long_side
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.registry import Role, resolve
from services.embedding.model import EmbeddingModel, load_networks

SEED = 20261124
WORK_SIDE_PX = 512
MAX_PIXELS = 250_000_000
SHOTS_PER_SCENE = 6
ALBUM_COUNT = 100
PICTURES_PER_ALBUM = (3, 30)
HALVED_SHARE = 0.3
"""Share of an album's pictures that are cut into halves, which count as two scenes."""
DISTANCES = [step / 100 for step in range(20, 72, 4)]
EPSILON_SHARES = (0.6, 0.8, 1.0)
"""Values of cluster_selection_epsilon to try, as shares of scene_distance."""
REAL_SHARE = 0.5
"""Total weight of the labelled albums; the simulated ones get the rest."""

Embeddings = NDArray[np.float32]
Scores = NDArray[np.float64]
Album = tuple[Embeddings, list[int]]
"""The embeddings of an album's photos, and the scene of each."""


def another_shot(picture: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Simulates another shot of a scene: moved, reframed, tilted, re-exposed and refocused."""
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    framed = rng.uniform(0.65, 1.0)  # share of each side that this shot shows
    offset = rng.uniform(0, 1 - framed, 2)
    seen = corners * framed + offset + rng.uniform(-0.05, 0.05, (4, 2))
    angle = np.radians(rng.uniform(-6, 6))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    seen = (seen - 0.5) @ turn.T + 0.5
    size = np.array([width, height])
    matrix = cv2.getPerspectiveTransform(
        (seen * size).astype(np.float32), (corners * size).astype(np.float32)
    )
    shot = cv2.warpPerspective(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    gain = 2.0 ** rng.uniform(-0.6, 0.6) * rng.uniform(0.94, 1.06, 3)
    shot = np.clip(shot * gain, 0, 255).astype(np.uint8)
    if rng.uniform() < 0.2:
        shot = defocus(shot, rng.uniform(0, 0.5), rng)
    if rng.uniform() < 0.2:
        shot = noise(shot, rng.uniform(0, 0.3), rng)
    return shot


def parts_of(picture: RgbImage) -> list[RgbImage]:
    """Returns the whole picture, and its two halves with a gap between them."""
    height, width = picture.shape[:2]
    if width >= height:
        return [picture, picture[:, : width * 9 // 20], picture[:, width * 11 // 20 :]]
    return [picture, picture[: height * 9 // 20], picture[height * 11 // 20 :]]


def embed_shots(embed: Callable[[RgbImage], Embeddings], paths: list[Path]) -> Embeddings:
    """Embeds each part of each picture, unchanged and as simulated shots: (n, 3, shots, d)."""
    rng = np.random.default_rng(SEED)
    found = []
    for path in paths:
        with Image.open(path) as image:
            image.draft("RGB", (WORK_SIDE_PX, WORK_SIDE_PX))
            picture = fit_long_side(np.asarray(image.convert("RGB")), WORK_SIDE_PX)
        found.append(
            [
                [
                    embed(part),
                    *(embed(another_shot(part, rng)) for _ in range(SHOTS_PER_SCENE - 1)),
                ]
                for part in parts_of(picture)
            ]
        )
    return np.array(found, np.float32)


def read_album(embed: Callable[[RgbImage], Embeddings], folder: Path) -> Album:
    """Embeds a labelled album.

    Args:
        embed: Embeds one picture.
        folder: Folder with the photos; groups.csv (`file,group`), which does not list single
            photos; and optionally ambiguous.csv (`file`), which lists photos to leave out.
    """
    groups = {row["file"]: row["group"] for row in _read_table(folder / "groups.csv")}
    left_out = {row["file"] for row in _read_table(folder / "ambiguous.csv")}
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in pictures.PICTURE_SUFFIXES and path.name not in left_out
    )
    numbers: dict[str, int] = {}
    labels = [
        numbers.setdefault(groups.get(name, f"single {name}"), len(numbers)) for name in names
    ]
    photos = (decode((folder / name).read_bytes(), max_pixels=MAX_PIXELS).pixels for name in names)
    return np.array([embed(photo) for photo in photos], np.float32), labels


def _read_table(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def draw_albums(shots: Embeddings) -> list[Album]:
    """Draws random albums of simulated shots."""
    rng = np.random.default_rng(SEED + 1)
    return [_draw_album(shots, rng) for _ in range(ALBUM_COUNT)]


def _draw_album(shots: Embeddings, rng: np.random.Generator) -> Album:
    rows: list[Embeddings] = []
    labels: list[int] = []
    many_shots = rng.uniform(0.1, 0.9)  # share of scenes with several shots
    for index in rng.permutation(len(shots))[: int(rng.integers(*PICTURES_PER_ALBUM))]:
        for part in (1, 2) if rng.uniform() < HALVED_SHARE else (0,):
            size = int(rng.integers(2, SHOTS_PER_SCENE, endpoint=True))
            taken = rng.permutation(SHOTS_PER_SCENE)[: size if rng.uniform() < many_shots else 1]
            rows.append(shots[index, part, taken])
            labels += [max(labels, default=-1) + 1] * len(taken)
    return np.vstack(rows), labels


def read_parameters(configs: Path) -> ClusterParameters:
    """Reads the default clustering settings; simulated shots have no capture time."""
    path = configs / "pipeline.yaml"
    settings = load(PipelineSettings, [Layer(str(path), read_yaml(path))]).cluster_scenes
    return replace(resolve_auto(settings, (0.0, 0.0)), capture_time=WITHOUT_TIME)


def rand_indices(
    albums: Sequence[Album], parameters: ClusterParameters, distance: float, epsilon: float
) -> Scores:
    """Returns the adjusted Rand index of each album; each noise photo is its own group."""
    parameters = replace(parameters, scene_distance=distance, cluster_selection_epsilon=epsilon)
    scores = []
    for embeddings, expected in albums:
        labels = cluster_scenes(embeddings, parameters)
        got = np.where(labels < 0, -1 - np.arange(len(labels)), labels)
        scores.append(adjusted_rand_score(expected, got))
    return np.array(scores)


def calibrate(
    shots: Embeddings, labelled: Sequence[Album], parameters: ClusterParameters
) -> tuple[float, float]:
    """Chooses (scene_distance, cluster_selection_epsilon), and prints all scores."""
    simulated = draw_albums(shots)

    weighted = [(1.0, simulated)]
    if labelled:
        weighted = [(1 - REAL_SHARE, simulated), (REAL_SHARE, labelled)]
    grid, errors = {}, {}
    for distance in DISTANCES:
        for epsilon in (round(share * distance, 3) for share in EPSILON_SHARES):
            scores = [
                (share, rand_indices(kind, parameters, distance, epsilon))
                for share, kind in weighted
            ]
            grid[distance, epsilon] = sum(share * float(found.mean()) for share, found in scores)
            errors[distance, epsilon] = math.sqrt(
                sum((share * found.std(ddof=1)) ** 2 / len(found) for share, found in scores)
            )
        row = [f"{grid[pair]:.3f}" for pair in sorted(grid) if pair[0] == distance]
        print(f"{distance:.2f}: {' '.join(row)}", flush=True)
    best = max(grid, key=lambda pair: grid[pair])
    plateau = [pair for pair, score in grid.items() if score >= grid[best] - errors[best]]
    middle = np.mean(plateau, axis=0)
    chosen = min(plateau, key=lambda pair: (float(np.abs(pair - middle).sum()), pair))
    print(
        f"best {grid[best]:.3f} at {best}, standard error {errors[best]:.3f}, on "
        f"{len(simulated)} simulated and {len(labelled)} labelled albums"
    )
    print(
        f"{len(plateau)} pairs within that error of the best, distances "
        f"{min(d for d, _ in plateau)} to {max(d for d, _ in plateau)}"
    )
    print(f"scene_distance: {chosen[0]}\ncluster_selection_epsilon: {chosen[1]}")
    for _, albums in weighted:
        scored = rand_indices(albums, parameters, *chosen)
        print(f"mean adjusted Rand index of {len(albums)} albums with these: {scored.mean():.3f}")
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description="calibrates `auto` for an embedding model")
    parser.add_argument(
        "--pictures", type=Path, required=True, help="folder made by models.train.pictures"
    )
    parser.add_argument(
        "--photos", type=Path, action="append", default=[], help="more single photos"
    )
    parser.add_argument(
        "--album", type=Path, action="append", default=[], help="photos with groups.csv"
    )
    parser.add_argument("--model", default="builtin-scene-embedding", help="id in models.yaml")
    parser.add_argument("--configs", type=Path, default=Path("configs"))
    arguments = parser.parse_args()
    local = resolve(arguments.configs, models_dir(), Role.EMBEDDING, arguments.model)
    options = SessionOptions()
    model = EmbeddingModel(load_networks(local, lambda path: OrtSession(path, options)))
    subjects = pictures.group_by_subject(pictures.find(arguments.pictures).photos)
    paths = [renditions[0] for renditions in subjects]
    for folder in arguments.photos:
        paths += sorted(folder.glob("*.jp*g"))
    found = pictures.drop_duplicates(paths)
    print(f"{len(found)} pictures")

    def embed(image: RgbImage) -> Embeddings:
        return model.embed(fit_long_side(image, local.entry.input_long_side_px))

    labelled = [read_album(embed, folder) for folder in arguments.album]
    calibrate(embed_shots(embed, found), labelled, read_parameters(arguments.configs))


if __name__ == "__main__":
    main()
