"""Trains the network of the built-in scene embedding, on pictures that ship with packages.

    python -P -m models.train.pictures FOLDER
    python -P -m models.train.distill_embedding --pictures FOLDER --teacher TEACHER.onnx

Writes a checkpoint (`--student`), from which scene_embedding.py makes the ONNX file.

The teacher is MediaPipe's MobileNetV3-small image embedder (Apache-2.0), as ONNX; its weights are
not part of this repository. The views are random crops, collages and pasted cut-outs of the
pictures. The teacher sees them unchanged, the student recoloured, blurred, mirrored and with noise.
The student learns the teacher's directions (cosine) and its pairwise similarities within a batch
(relational distillation, Park et al. 2019). Asano and Saeed (2023), "Extrapolating from a single
image to a thousand classes using distillation", show that with heavy cropping a few pictures are
enough for this.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from torch import nn
from torch.nn import functional as F

from models.train import pictures

SEED = 20261124
VIEW_PX = 144
INPUT_PX = 128
TEACHER_PX = 224
DIMENSION = 256
BATCH = 128
SOURCE_SIDE_PX = 900
WIDTHS = (48, 96, 192, 320)
DEPTHS = (1, 2, 4, 2)
GROUP_WIDTH = 24
STEM_WIDTH = 24


class Block(nn.Module):
    """Residual block of a RegNet (Radosavovic et al. 2020): 1x1, grouped 3x3, 1x1."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        group_count = max(1, width // GROUP_WIDTH)
        while width % group_count:
            group_count -= 1
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, groups=group_count, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.shortcut(x) + self.body(x))


class Student(nn.Module):
    """Maps RGB (n, 3, 128, 128) in 0..255 to unit vectors (n, 256)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, STEM_WIDTH, 3, 2, 1, bias=False),
            nn.BatchNorm2d(STEM_WIDTH),
            nn.ReLU(inplace=True),
        ]
        inputs = STEM_WIDTH
        for width, depth in zip(WIDTHS, DEPTHS, strict=True):
            for index in range(depth):
                layers.append(Block(inputs, width, 2 if index == 0 else 1))
                inputs = width
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(2 * inputs, DIMENSION)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.trunk((pixels - 127.5) / 58.0)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return F.normalize(self.head(pooled), dim=1)


class ViewMaker:
    """Draws random views of the pictures: crops, collages, cut-outs pasted onto crops."""

    def __init__(self, found: pictures.Pictures, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.photos = [self._load(path, "RGB") for path in found.photos]
        self.cutouts = [self._load(path, "RGBA") for path in found.cutouts]

    @staticmethod
    def _load(path: Path, mode: str) -> Image.Image:
        with Image.open(path) as image:
            image.draft("RGB", (SOURCE_SIDE_PX, SOURCE_SIDE_PX))
            image = image.convert(mode)
        image.thumbnail((SOURCE_SIDE_PX, SOURCE_SIDE_PX), Image.Resampling.BOX)
        return image

    def _crop(self, size: int = TEACHER_PX) -> Image.Image:
        photo = self.photos[self.rng.integers(len(self.photos))]
        width, height = photo.size
        area = width * height * np.exp(self.rng.uniform(np.log(0.05), 0.0))
        ratio = np.exp(self.rng.uniform(np.log(0.6), np.log(1.7)))
        crop_w = int(min(width, max(48, np.sqrt(area * ratio))))
        crop_h = int(min(height, max(48, np.sqrt(area / ratio))))
        left = int(self.rng.integers(width - crop_w + 1))
        top = int(self.rng.integers(height - crop_h + 1))
        return photo.resize(
            (size, size), Image.Resampling.BILINEAR, (left, top, left + crop_w, top + crop_h)
        )

    def _paste_cutouts(self, view: Image.Image) -> None:
        for _ in range(int(self.rng.integers(1, 4))):
            cutout = self.cutouts[self.rng.integers(len(self.cutouts))]
            scale = TEACHER_PX * self.rng.uniform(0.3, 1.0) / max(cutout.size)
            size = (max(8, int(cutout.width * scale)), max(8, int(cutout.height * scale)))
            pasted = cutout.resize(size, Image.Resampling.BILINEAR)
            pasted = pasted.rotate(float(self.rng.uniform(-30, 30)), expand=True)
            left, top = self.rng.integers(-40, TEACHER_PX - 60, size=2)
            view.paste(pasted, (int(left), int(top)), pasted)

    def draw(self) -> Image.Image:
        view = self._crop()
        kind = self.rng.uniform()
        if kind < 0.4 and self.cutouts:
            if kind < 0.15:
                view = view.filter(ImageFilter.GaussianBlur(float(self.rng.uniform(4, 30))))
            self._paste_cutouts(view)
        elif kind < 0.55:
            other, cut = self._crop(), int(self.rng.integers(60, 164))
            box = (cut, 0, 224, 224) if self.rng.uniform() < 0.5 else (0, cut, 224, 224)
            view.paste(other.crop(box), box[:2])
        if self.rng.uniform() < 0.5:
            bands = list(view.split())
            self.rng.shuffle(bands)  # makes colours more varied
            view = Image.merge("RGB", bands)
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            view = enhance(view).enhance(float(self.rng.uniform(0.6, 1.4)))
        return view


def build_views(
    found: pictures.Pictures, teacher_path: Path, count: int, folder: Path
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draws `count` views and embeds them with the teacher; caches both in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    views_path, targets_path = folder / "views.npy", folder / "targets.npy"
    if targets_path.exists():
        return np.load(views_path, mmap_mode="r"), np.load(targets_path)
    maker = ViewMaker(found, SEED)
    teacher = onnxruntime.InferenceSession(str(teacher_path))
    name = teacher.get_inputs()[0].name
    views = np.lib.format.open_memmap(
        views_path, mode="w+", dtype=np.uint8, shape=(count, 3, VIEW_PX, VIEW_PX)
    )
    targets = np.empty((count, 1024), np.float32)
    for start in range(0, count, 32):
        drawn = [maker.draw() for _ in range(min(32, count - start))]
        batch = np.stack([np.asarray(view, np.float32) / 255.0 for view in drawn])
        targets[start : start + len(drawn)] = teacher.run(None, {name: batch})[0]
        for index, view in enumerate(drawn):
            small = view.resize((VIEW_PX, VIEW_PX), Image.Resampling.BOX)
            views[start + index] = np.asarray(small).transpose(2, 0, 1)
        if start % 8192 == 0:
            print(f"views: {start}/{count}", flush=True)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    views.flush()
    np.save(targets_path, targets)
    return views, targets


def augment(pixels: torch.Tensor) -> torch.Tensor:
    """Shifts, mirrors, re-exposes, blurs and adds noise to a batch (n, 3, 144, 144) in 0..255."""
    count = len(pixels)
    top, left = torch.randint(0, VIEW_PX - INPUT_PX + 1, (2,)).tolist()
    pixels = pixels[:, :, top : top + INPUT_PX, left : left + INPUT_PX].float()
    mirrored = torch.rand(count) < 0.5
    pixels[mirrored] = pixels[mirrored].flip(3)
    gain = torch.empty(count, 3, 1, 1).uniform_(-0.08, 0.08) + torch.empty(count, 1, 1, 1).uniform_(
        0.65, 1.4
    )
    pixels = pixels * gain + torch.empty(count, 1, 1, 1).uniform_(-20, 20)
    blurred = torch.rand(count) < 0.25
    pixels[blurred] = F.avg_pool2d(pixels[blurred], 3, 1, 1)
    noise = torch.randn_like(pixels) * torch.empty(count, 1, 1, 1).uniform_(0, 12)
    return (pixels + noise).clamp(0, 255)


def train(
    views: NDArray[np.uint8], targets: NDArray[np.float32], minutes: float, checkpoint: Path
) -> None:
    """Trains for `minutes`, with one cosine schedule, and saves `checkpoint`.

    If the checkpoint exists, training continues from it.
    """
    torch.manual_seed(SEED)
    torch.set_flush_denormal(True)  # without it, training gets five times slower as weights decay
    _, _, basis = np.linalg.svd(targets[:8192], full_matrices=False)
    kept = torch.from_numpy(targets @ basis[:DIMENSION].T)
    print(f"share of the teacher's energy in {DIMENSION}-d: {(kept**2).sum(1).mean():.3f}")
    kept = F.normalize(kept, dim=1)
    held_out = len(views) - 2048
    student = Student().to(memory_format=torch.channels_last)
    if checkpoint.exists():
        student.load_state_dict(torch.load(checkpoint, weights_only=True))
    optimizer = torch.optim.AdamW(student.parameters(), lr=2e-3, weight_decay=0.02)
    began, step, shown = time.monotonic(), 0, 0.0
    rng = np.random.default_rng(SEED)
    while (passed := (time.monotonic() - began) / (60 * minutes)) < 1.0:
        rate = 3e-3 * min(1.0, (step + 1) / 300) * (0.5 + 0.5 * np.cos(np.pi * passed))
        for group in optimizer.param_groups:
            group["lr"] = max(rate, 1e-6)
        rows = np.sort(rng.integers(held_out, size=BATCH))
        pixels = augment(torch.from_numpy(np.ascontiguousarray(views[rows])))
        expected = kept[torch.from_numpy(rows)]
        got = student(pixels.contiguous(memory_format=torch.channels_last))
        direction = 1 - (got * expected).sum(1).mean()
        relation = ((got @ got.T - expected @ expected.T) ** 2).mean()
        loss = direction + 4.0 * relation
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step == 20:
            print(f"{(time.monotonic() - began) / step:.2f} s per step", flush=True)
        if passed - shown > 0.04:
            shown = passed
            cosine = _held_out_cosine(student, views[held_out:], kept[held_out:])
            torch.save(student.state_dict(), checkpoint)
            print(
                f"{passed:4.0%} step {step} loss {loss:.3f} held-out cosine {cosine:.3f}",
                flush=True,
            )
    torch.save(student.state_dict(), checkpoint)


def _held_out_cosine(student: Student, views: NDArray[np.uint8], expected: torch.Tensor) -> float:
    student.eval()
    margin = (VIEW_PX - INPUT_PX) // 2
    cropped = views[:, :, margin : margin + INPUT_PX, margin : margin + INPUT_PX]
    with torch.no_grad():
        got = torch.cat(
            [student(torch.from_numpy(part).float()) for part in np.array_split(cropped, 16)]
        )
    student.train()
    return float((got * expected).sum(1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="distils the network of the scene embedding")
    parser.add_argument("--pictures", type=Path, help="folder made by models.train.pictures")
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--views", type=int, default=60_000)
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--work", type=Path, default=Path("build/distill"), help="views, targets")
    parser.add_argument("--student", type=Path, default=Path("build/distill/student.pt"))
    arguments = parser.parse_args()
    found = pictures.find(arguments.pictures)
    print(f"{len(found.photos)} photos, {len(found.cutouts)} cut-outs", flush=True)
    views, targets = build_views(found, arguments.teacher, arguments.views, arguments.work)
    train(views, targets, arguments.minutes, arguments.student)


if __name__ == "__main__":
    main()
