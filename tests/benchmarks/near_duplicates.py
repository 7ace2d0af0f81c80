"""Compares bestshot with imagededup's hashes at grouping near-duplicates, on the same photos.

The generated photos are scikit-image's and scikit-learn's pictures, each with copies that were
recompressed, made smaller, brighter or darker, cropped, blurred and rotated. Real photos that
people have grouped are used if they are in a folder beside the project. Precision and recall count
pairs in the same group; imagededup's groups are the linked duplicates at its default distance of 10
bits. The baseline for speed is imagededup's PHash.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import skimage.data
from PIL import Image, ImageEnhance, ImageFilter
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_sample_images
from sklearn.metrics import adjusted_rand_score

from models.export.vision import torchvision_models
from tests.conftest import REAL_PHOTOS, ROOT

TARGET = ROOT / "build" / "bench" / "near_duplicates.json"
LIBRARY = ROOT / "build" / "imagededup"
REQUIREMENTS = (
    *("imagededup==0.3.3.post2", "PyWavelets", "tqdm", "matplotlib", "contourpy", "cycler"),
    *("fonttools", "kiwisolver", "pyparsing", "python-dateutil", "six"),
)
HASHES = ("PHash", "DHash", "WHash", "AHash")
PICTURES = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field")
Groups = dict[str, str]
"""Name of each file's group; every single photo is a separate group."""


def variants(picture: Image.Image) -> Iterator[tuple[str, Image.Image, int]]:
    """Yields the picture and near-duplicates of it: name, pixels, JPEG quality."""
    width, height = picture.size
    yield "original", picture, 92
    yield "recompressed", picture, 30
    yield "small", picture.resize((width // 2, height // 2)), 90
    yield "bright", ImageEnhance.Brightness(picture).enhance(1.3), 90
    yield "dark", ImageEnhance.Brightness(picture).enhance(0.6), 90
    inset = (width // 20, height // 20, width - width // 20, height - height // 20)
    yield "cropped", picture.crop(inset), 90
    yield "blurred", picture.filter(ImageFilter.GaussianBlur(2)), 90
    turned = picture.rotate(3, Image.Resampling.BICUBIC)
    yield "turned", turned.crop(inset), 90


def make_photos(folder: Path) -> Groups:
    """Writes originals and near-duplicates; returns the original of each file."""
    arrays = {name: getattr(skimage.data, name)() for name in PICTURES}
    arrays |= {f"sample{n}": one for n, one in enumerate(load_sample_images().images)}
    groups = {}
    for name, pixels in arrays.items():
        for variant, image, quality in variants(Image.fromarray(np.asarray(pixels)[..., :3])):
            path = folder / f"{name}-{variant}.jpg"
            image.save(path, quality=quality)
            groups[path.name] = name
    return groups


def real_groups(folder: Path) -> Groups:
    """Reads how people grouped the photos of a folder."""
    with (folder / "groups.csv").open(newline="") as opened:
        known = {row["file"]: row["group"] for row in csv.DictReader(opened)}
    names = [path.name for path in folder.iterdir() if path.suffix != ".csv"]
    return {name: known.get(name, f"single {name}") for name in names}


def by_bestshot(photos: Path, base: Path) -> tuple[Groups, float]:
    """Groups with `bestshot curate`; also returns how many seconds it took."""
    command = [Path(sys.executable).with_name("bestshot"), "curate", photos, "--out", base / "out"]
    command += ["--profile", "builtin"]
    environment = {**os.environ, "BESTSHOT_DATA_DIR": str(base / "data")}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    run = json.loads((base / "out" / "run.json").read_text())
    with (base / "out" / "image_metrics.csv").open(newline="", encoding="utf-8") as opened:
        clusters = {row["Path"]: row["Cluster"] for row in csv.DictReader(opened)}
    groups = {
        name: f"single {name}" if cluster in ("", "-1") else cluster
        for name, cluster in clusters.items()
    }
    return groups, run["summary"]["elapsed_seconds"]


def by_hash(name: str, photos: Path) -> tuple[Groups, float]:
    """Groups with one of imagededup's hashes; also returns how many seconds it took."""
    from imagededup import methods

    method = getattr(methods, name)(verbose=False)
    began = time.perf_counter()
    encodings = method.encode_images(image_dir=str(photos))
    found = method.find_duplicates(encoding_map=encodings, max_distance_threshold=10)
    seconds = time.perf_counter() - began
    groups = {one: one for one in found}
    for one, others in found.items():
        for other in others:
            old, new = groups[other], groups[one]
            groups = {each: new if group == old else group for each, group in groups.items()}
    return groups, seconds


def score_groups(groups: Groups, truth: Groups) -> dict[str, float]:
    """Returns the precision and recall of pairs, and the adjusted Rand index."""
    names = sorted(set(groups) & set(truth))
    pairs = list(combinations(names, 2))
    told = {pair for pair in pairs if groups[pair[0]] == groups[pair[1]]}
    true = {pair for pair in pairs if truth[pair[0]] == truth[pair[1]]}
    right = len(told & true)
    index = adjusted_rand_score([truth[one] for one in names], [groups[one] for one in names])
    return {
        "precision": right / len(told) if told else 1.0,
        "recall": right / len(true),
        "adjusted_rand_index": float(index),
    }


def _load_imagededup() -> None:
    """Puts imagededup on the path, and prepares torchvision so that it can be imported."""
    if not LIBRARY.exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", LIBRARY]
        subprocess.run([*command, *REQUIREMENTS], check=True)
    sys.path.append(str(LIBRARY))
    logging.disable(logging.WARNING)  # imagededup logs every step
    torchvision_models()


def main() -> None:
    """Measures everything, prints a table and writes JSON."""
    _load_imagededup()
    results: dict[str, dict[str, dict[str, float]]] = {}
    with TemporaryDirectory() as name:
        made = Path(name) / "made"
        made.mkdir()
        sets = {"made": (made, make_photos(made))}
        for real in ("album", "trip"):
            if (REAL_PHOTOS / real).is_dir():
                sets[real] = (REAL_PHOTOS / real, real_groups(REAL_PHOTOS / real))
        for title, (folder, truth) in sets.items():
            groups, seconds = by_bestshot(folder, Path(name) / f"{title}-results")
            found = {"bestshot": {**score_groups(groups, truth), "per_s": len(truth) / seconds}}
            for method in HASHES:
                groups, seconds = by_hash(method, folder)
                found[method] = {**score_groups(groups, truth), "per_s": len(truth) / seconds}
            for one in found.values():
                one["speed_to_phash"] = one["per_s"] / found["PHash"]["per_s"]
            results[title] = found
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(results, indent=2) + "\n")
    columns = ("precision", "recall", "adjusted_rand_index", "per_s", "speed_to_phash")
    table = Table("photos", "method", "precision", "recall", "Rand", "1/s", "to PHash")
    for title, found in results.items():
        for method, one in found.items():
            table.add_row(title, method, *(f"{one[column]:.2f}" for column in columns))
    Console(file=sys.stdout).print(table)


if __name__ == "__main__":
    main()
