"""Trains the built-in pairwise comparator on pairs (picture, degraded picture).

    python -P -m models.train.pictures FOLDER
    python -P -m models.train.train_siamese --pictures FOLDER

Each pair has two versions of one picture: the original and a degraded one (in two pairs out of
three), or a lightly and a strongly degraded one. They are cropped at slightly different positions,
so that pixels never line up. A seventh of the pictures is held out; the accuracy on pairs made from
them, and on the pictures in --test folders, is printed per degradation.

Architecture: both pictures share a small convolutional trunk; the mean and standard deviation of
the input and of the first, third and last feature maps describe a picture of any size. A head
m(a, b) sees the difference and the mean of the two descriptions. The logit is m(a, b) - m(b, a), so
that P(a, b) and P(b, a) sum to one by construction.
"""

from __future__ import annotations

import argparse
import math
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import nn
from torch.nn import functional as F

from models.export.graph import plain_model
from models.train import pictures
from models.train.degrade import DEGRADATIONS, RgbImage
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.tensor import to_full_tensor
from services.siamese.model import SiameseModel

SEED = 20261124
WORK_SIDE_PX = 1024
"""Largest size at which degradations are applied: the size of canonical images."""
INPUT_SIDE_PX = 512
"""Size at which the network sees pictures: the one that the service requests."""
CROP_PX = 224
SHIFT_PX = 12
CORNER_SHARE = 0.4
"""Share of pairs cropped at a corner, where a tilt is visible."""
BATCH = 32
PARITY_TOLERANCE = 1e-4
NAMES = tuple(DEGRADATIONS)
PAIR_NAMES = (*NAMES, "jpeg", "tilt", "noise_sharpened")
"""The kinds of the pairs of one picture; the hardest occur twice."""


class Comparator(nn.Module):
    """Maps two RGB pictures (1, 3, h, w) in 0..255 to the probability that the first is better."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 32, 48, 64, 96)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 5 if inputs == 3 else 3, 2, 2 if inputs == 3 else 1),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
                *(
                    ()
                    if inputs == 3
                    else (
                        nn.Conv2d(outputs, outputs, 3, 1, 1),
                        nn.BatchNorm2d(outputs),
                        nn.ReLU(inplace=True),
                    )
                ),
            )
            for inputs, outputs in pairwise(widths)
        )
        described = 2 * (widths[1] + widths[3] + widths[5]) + 6
        self.norm = nn.BatchNorm1d(described)
        self.head = nn.Sequential(
            nn.Linear(2 * described, 96), nn.ReLU(), nn.Dropout(0.2), nn.Linear(96, 1)
        )

    def describe(self, pixels: torch.Tensor) -> torch.Tensor:
        """Describes pictures of any size by the statistics of their feature maps."""
        x = (pixels - 127.5) / 64.0
        parts = [_statistics(x)]
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in (0, 2, 4):
                parts.append(_statistics(x))
        return self.norm(torch.cat(parts, dim=1))

    def compare(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Computes the logit that the first is better, from two descriptions."""
        mean = (first + second) / 2
        forward = self.head(torch.cat([first - second, mean], dim=1))
        backward = self.head(torch.cat([second - first, mean], dim=1))
        return (forward - backward).squeeze(1)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.compare(self.describe(first), self.describe(second)))


def _statistics(x: torch.Tensor) -> torch.Tensor:
    mean = x.mean((2, 3))
    # in float32 E[x^2] - E[x]^2 can be negative for a flat picture, which makes its square root NaN
    centred = x - x.mean((2, 3), keepdim=True)
    spread = torch.sqrt((centred * centred).mean((2, 3)) + 1e-4)
    return torch.cat([mean, spread], dim=1)


def split(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Holds out a seventh, keeping renditions of the same wallpaper together."""
    subjects = pictures.group_by_subject(paths)
    order = np.random.default_rng(SEED).permutation(len(subjects))
    shuffled = [subjects[index] for index in order]
    held_out_count = len(subjects) // 7
    held_out = [path for group in shuffled[:held_out_count] for path in group]
    return [path for group in shuffled[held_out_count:] for path in group], held_out


def load_picture(path: Path, side_px: int) -> RgbImage:
    """Loads a picture with a long side of at most `side_px`; cut-outs get a grey background."""
    with Image.open(path) as opened:
        opened.draft("RGB", (side_px, side_px))
        image = ImageOps.exif_transpose(opened).convert("RGBA")
    backdrop = Image.new("RGBA", image.size, (128, 128, 128, 255))
    backdrop.alpha_composite(image)
    image = backdrop.convert("RGB")
    image.thumbnail((side_px, side_px), Image.Resampling.BOX)
    return np.asarray(image)


def _shrink(image: RgbImage, side_px: int) -> RgbImage:
    scale = side_px / max(image.shape)
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def _crops(better: RgbImage, worse: RgbImage, rng: np.random.Generator) -> list[RgbImage]:
    height, width = better.shape[:2]
    pad = [(0, max(0, CROP_PX - height)), (0, max(0, CROP_PX - width)), (0, 0)]
    lowest, rightmost = max(0, height - CROP_PX), max(0, width - CROP_PX)
    if rng.uniform() < CORNER_SHARE:
        top, left = (int(limit * rng.integers(2)) for limit in (lowest, rightmost))
    else:
        top, left = int(rng.integers(lowest + 1)), int(rng.integers(rightmost + 1))
    crops = []
    for image in (better, worse):
        y = int(np.clip(top + rng.integers(-SHIFT_PX, SHIFT_PX + 1), 0, lowest))
        x = int(np.clip(left + rng.integers(-SHIFT_PX, SHIFT_PX + 1), 0, rightmost))
        crops.append(np.pad(image, pad, mode="reflect")[y : y + CROP_PX, x : x + CROP_PX])
    return crops


def make_pair(picture: RgbImage, name: str, rng: np.random.Generator) -> list[RgbImage]:
    """Makes a pair (better, worse) from a picture with one kind of degradation."""
    side = int(rng.integers(INPUT_SIDE_PX, WORK_SIDE_PX + 1))
    picture = _shrink(picture, side)
    degrade = DEGRADATIONS[name]
    if rng.uniform() < 0.33:
        seed = int(rng.integers(2**31))  # gives both degradations the same direction and sign
        light, gross = np.random.default_rng(seed), np.random.default_rng(seed)
        better = degrade(picture, rng.uniform(-0.2, 0.2), light)
        worse = degrade(picture, rng.uniform(0.6, 1.0), gross)
    else:
        better, worse = picture, degrade(picture, rng.uniform(0.0, 1.0), rng)
    return [_shrink(image, INPUT_SIDE_PX) for image in (better, worse)]


def build_pairs(
    paths: list[Path], count: int, seed: int, target: Path
) -> tuple[NDArray[np.uint8], list[str]]:
    """Makes `count` cropped pairs, (count, 2, 3, 224, 224), better first; cached in `target`."""
    names = [PAIR_NAMES[row % len(PAIR_NAMES)] for row in range(count)]
    if target.exists():
        return np.load(target, mmap_mode="r"), names
    unfinished = target.with_suffix(".partial.npy")
    pairs = np.lib.format.open_memmap(
        unfinished, mode="w+", dtype=np.uint8, shape=(count, 2, 3, CROP_PX, CROP_PX)
    )
    starts = range(0, count, len(PAIR_NAMES))
    with ProcessPoolExecutor(initializer=cv2.setNumThreads, initargs=(1,)) as workers:
        made = workers.map(partial(pairs_of_one_picture, paths, seed), starts)
        for start, rows in zip(starts, made, strict=True):
            pairs[start : start + len(PAIR_NAMES)] = rows[: count - start]
            if start % 3000 == 0:
                print(f"pairs: {start}/{count}", flush=True)
    pairs.flush()
    unfinished.rename(target)
    return pairs, names


def pairs_of_one_picture(paths: list[Path], seed: int, start: int) -> NDArray[np.uint8]:
    """Returns the rows of `build_pairs` from `start` on; depends only on its arguments."""
    rng = np.random.default_rng([seed, start])
    picture = load_picture(paths[int(rng.integers(len(paths)))], WORK_SIDE_PX)
    rows = []
    for name in PAIR_NAMES:
        better, worse = _crops(*make_pair(picture, name, rng), rng)
        rows.append(np.stack([better, worse]).transpose(0, 3, 1, 2))
    return np.stack(rows)


def train(pairs: NDArray[np.uint8], minutes: float) -> Comparator:
    """Trains for `minutes`, with one cosine schedule."""
    torch.manual_seed(SEED)
    model = Comparator().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    rng = np.random.default_rng(SEED)
    began, step, shown, running = time.monotonic(), 0, 0.0, 0.7
    while (passed := (time.monotonic() - began) / (60 * minutes)) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = (
                2e-3 * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * passed))
            )
        rows = np.sort(rng.integers(len(pairs), size=BATCH))
        pixels = torch.from_numpy(np.ascontiguousarray(pairs[rows])).float().flatten(0, 1)
        mirrored = torch.rand(BATCH).repeat_interleave(2) < 0.5
        pixels[mirrored] = pixels[mirrored].flip(3)
        described = model.describe(pixels.contiguous(memory_format=torch.channels_last))
        logit = model.compare(described[0::2], described[1::2])
        loss = F.softplus(-logit).mean() + 1e-3 * (logit**2).mean()  # keeps probabilities soft
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step, running = step + 1, 0.98 * running + 0.02 * float(loss)
        if passed - shown > 0.05:
            shown = passed
            print(f"{passed:4.0%} step {step} loss {running:.3f}", flush=True)
    return model.eval()


def accuracy_on_crops(
    model: SiameseModel, pairs: NDArray[np.uint8], names: list[str]
) -> dict[str, float]:
    """Returns the share of crop pairs decided correctly, per degradation."""
    right = np.array(
        [_prefers_first(model, *(side.transpose(1, 2, 0) for side in pair)) for pair in pairs]
    )
    kinds = np.array(names)
    table = {name: float(right[kinds == name].mean()) for name in NAMES}
    return {**table, "all": float(right.mean())}


def accuracy_on_whole(model: SiameseModel, paths: list[Path]) -> dict[str, float]:
    """Returns the share of whole pictures, at the input size, that beat their degraded version."""
    rng = np.random.default_rng(SEED)
    right: dict[str, list[bool]] = {name: [] for name in NAMES}
    for path in paths:
        picture = load_picture(path, WORK_SIDE_PX)
        for name, degrade in DEGRADATIONS.items():
            for strength in (0.3, 0.8):
                degraded = degrade(picture, strength, rng)
                sides = (_shrink(side, INPUT_SIDE_PX) for side in (picture, degraded))
                right[name].append(_prefers_first(model, *sides))
    table = {name: float(np.mean(hits)) for name, hits in right.items()}
    return {**table, "all": float(np.mean([hit for hits in right.values() for hit in hits]))}


def _prefers_first(model: SiameseModel, first: RgbImage, second: RgbImage) -> bool:
    probability = model.compare(
        model.describe(to_full_tensor(first)), model.describe(to_full_tensor(second))
    )
    return probability > 0.5  # a tie counts as wrong


class _Describe(nn.Module):
    def __init__(self, model: Comparator) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.describe(pixels)


class _Compare(nn.Module):
    def __init__(self, model: Comparator) -> None:
        super().__init__()
        self.model = model

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.model.compare(first, second))


def export(model: Comparator, folder: Path) -> SiameseModel:
    """Exports the two halves, describe and compare, as graphs, and loads them.

    This way, a picture that is in many pairs is described only once.

    siamese-describe.onnx: pixels float32 (1, 3, h, w) RGB 0..255 -> description (1, d);
    siamese-compare.onnx: first, second (1, d) -> first_better_probability (1,).

    Raises:
        RuntimeError: The outputs of the files differ from those of the trained model.
    """
    model = model.eval()
    any_size = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    describe = torch.onnx.export(
        _Describe(model),
        (torch.zeros(1, 3, 256, 320),),
        input_names=["pixels"],
        output_names=["description"],
        dynamic_shapes={"pixels": any_size},
        opset_version=18,
        dynamo=True,
    )
    width = model.norm.num_features
    compare = torch.onnx.export(
        _Compare(model),
        # two tensors, because one tensor passed twice would be traced as a single input
        (torch.zeros(1, width), torch.ones(1, width)),
        input_names=["first", "second"],
        output_names=["first_better_probability"],
        opset_version=18,
        dynamo=True,
    )
    sessions = []
    for name, program in (("describe", describe), ("compare", compare)):
        assert program is not None
        out = folder / f"siamese-{name}.onnx"
        onnx.save(plain_model(program.model_proto), out)
        print(f"{out}: {out.stat().st_size} bytes")
        sessions.append(OrtSession(out, SessionOptions()))
    exported = SiameseModel(*sessions)
    _check_parity(model, exported)
    return exported


def _check_parity(model: Comparator, exported: SiameseModel) -> None:
    rng = np.random.default_rng(SEED)
    worst = 0.0
    for _ in range(8):
        sizes = rng.integers(64, 512, (2, 2))
        tensors = [rng.uniform(0, 255, (1, 3, *size)).astype(np.float32) for size in sizes]
        with torch.no_grad():
            expected = float(model(*(torch.from_numpy(tensor) for tensor in tensors)))
        got = exported.compare(*(exported.describe(tensor) for tensor in tensors))
        worst = max(worst, abs(expected - got))
    print(f"largest difference in probability between ONNX Runtime and PyTorch: {worst:.1e}")
    if worst > PARITY_TOLERANCE:
        raise RuntimeError("the exported graphs give different results from the trained model")


def _print_table(title: str, table: dict[str, float]) -> None:
    print(title + ": " + ", ".join(f"{name} {value:.3f}" for name, value in table.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description="trains the built-in pairwise comparator")
    parser.add_argument("--pictures", type=Path, help="folder made by models.train.pictures")
    parser.add_argument("--test", type=Path, action="append", default=[], help="never trained on")
    parser.add_argument("--pairs", type=int, default=18_000)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--work", type=Path, default=Path("build/siamese"))
    parser.add_argument("--out", type=Path, default=Path("models/builtin"), help="folder")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    found = pictures.find(arguments.pictures)
    kept, held_out = split(found.photos)
    print(f"{len(kept)} pictures to train on, {len(held_out)} held out", flush=True)
    pairs, _ = build_pairs(kept, arguments.pairs, SEED, arguments.work / "train.npy")
    tests, names = build_pairs(held_out, 1200, SEED + 1, arguments.work / "held-out.npy")
    model = train(pairs, arguments.minutes)
    torch.save(model.state_dict(), arguments.work / "siamese.pt")
    exported = export(model, arguments.out)
    _print_table("held-out crops", accuracy_on_crops(exported, tests, names))
    _print_table("held-out whole pictures", accuracy_on_whole(exported, held_out))
    for folder in arguments.test:
        photos = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".png")
        )
        _print_table(f"{folder.name} ({len(photos)} photos)", accuracy_on_whole(exported, photos))


if __name__ == "__main__":
    main()
