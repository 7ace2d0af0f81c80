"""Builds the built-in scene embedding: a distilled network and three hand-crafted descriptors.

    python -P -m models.train.scene_embedding --pictures FOLDER

The network is the checkpoint (`--student`) that distill_embedding.py writes.

The network captures the content of a picture, the descriptors its layout: a colour histogram, a
layout of colours and a layout of edge directions, each with its mean over many pictures
subtracted. Every part is a unit vector; they are weighted by `WEIGHTS`, and the cosine of two
embeddings is the weighted mean of the parts' cosines. The means are taken from the training
pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from models.export.graph import plain_model
from models.train import pictures
from models.train.distill_embedding import INPUT_PX, Student
from services.common.inference.onnx import OrtSession, SessionOptions

WEIGHTS = {"student": 4.0, "histogram": 1.0, "layout": 1.0, "edges": 1.0}
"""The best of a dozen sets of weights, by mean adjusted Rand index on the albums of
calibrate.py."""
BINS = 6
"""Bins per channel of the colour histogram."""
LAYOUT_CELLS = 8
EDGE_CELLS = 4
DIRECTIONS = 8
SHARPENING_STEPS = 3
"""Each step squares the response. Three give cos^8 of the doubled angle, which is about one half
midway between two directions."""
COMMON_LUMA, GAIN_RANGE = 0.4, (0.25, 4.0)
"""The mean luma, 0 to 1, to which pictures are scaled before the histogram, so that exposure does
not matter, and the limits of the scale factor."""
EDGE_FLOOR = 0.3
"""Relative to the mean edge strength; cells with weaker edges get less weight."""
PARITY_TOLERANCE = 1e-4
EPSILON = 1e-6


class SceneEmbedding(nn.Module):
    """Maps RGB (n, 3, 128, 128) in 0..255 to unit vectors (n, d)."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student
        for name, size in (
            ("histogram", BINS**3),
            ("layout", 3 * LAYOUT_CELLS**2),
            ("edges", DIRECTIONS * EDGE_CELLS**2),
        ):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
        luma = torch.tensor([0.299, 0.587, 0.114])
        blue, red = torch.tensor([0.0, 0.0, 1.0]) - luma, torch.tensor([1.0, 0.0, 0.0]) - luma
        self.register_buffer("opponent", torch.stack([luma, blue, red])[:, :, None, None])
        sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        self.register_buffer("sobel", torch.stack([sobel, sobel.T])[:, None])
        angles = torch.arange(DIRECTIONS) * (2 * torch.pi / DIRECTIONS)
        self.register_buffer("cosines", torch.cos(angles)[:, None, None])
        self.register_buffer("sines", torch.sin(angles)[:, None, None])
        self.register_buffer("bin_centres", torch.arange(BINS, dtype=torch.float32))

    def descriptors(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Computes the hand-crafted parts as unit vectors, before subtracting the means."""
        channels = F.conv2d(pixels / 255.0, self.opponent)
        return {
            "histogram": _unit(self._histogram(channels)),
            "layout": _unit(self._layout(channels)),
            "edges": _unit(self._edges(channels[:, :1])),
        }

    def _histogram(self, channels: torch.Tensor) -> torch.Tensor:
        """Takes the root of a soft histogram of luma, blue and red difference: (n, 216)."""
        mean_luma = channels[:, :1].mean((2, 3), keepdim=True)
        channels = channels * (COMMON_LUMA / (mean_luma + EPSILON)).clamp(*GAIN_RANGE)
        scale = torch.tensor([1.0, 0.9, 0.9])[None, :, None]
        shift = torch.tensor([0.0, 0.5, 0.5])[None, :, None]
        position = (channels.flatten(2) * scale + shift) * BINS - 0.5
        position = position.clamp(0, BINS - 1)
        share = F.relu(1 - (position[..., None] - self.bin_centres).abs())
        luma, blue, red = share[:, 0], share[:, 1], share[:, 2]
        joint = (luma[..., :, None] * blue[..., None, :]).flatten(2)
        counts = joint.transpose(1, 2) @ red / luma.shape[1]
        return torch.sqrt(counts.flatten(1) + EPSILON)

    def _layout(self, channels: torch.Tensor) -> torch.Tensor:
        """Returns the mean colours of 8 x 8 cells, minus the mean luma of the picture: (n, 192)."""
        cells = F.avg_pool2d(channels, INPUT_PX // LAYOUT_CELLS)
        luma = cells[:, :1] - cells[:, :1].mean((2, 3), keepdim=True)
        return torch.cat([luma, 2 * cells[:, 1:]], dim=1).flatten(1)

    def _edges(self, luma: torch.Tensor) -> torch.Tensor:
        """Measures edges in 8 directions of 4 x 4 cells, each cell normalised: (n, 128)."""
        gradient = F.conv2d(F.pad(luma, (1, 1, 1, 1), mode="replicate"), self.sobel)
        x, y = gradient[:, :1], gradient[:, 1:]
        strength = torch.sqrt(x * x + y * y + EPSILON)
        aligned = ((x * x - y * y) * self.cosines + 2 * x * y * self.sines) / (strength * strength)
        response = F.relu(aligned)
        for _ in range(SHARPENING_STEPS):
            response = response * response
        cells = torch.sqrt(F.avg_pool2d(strength * response, INPUT_PX // EDGE_CELLS) + EPSILON)
        size = torch.sqrt((cells * cells).sum(1, keepdim=True))
        floor = EDGE_FLOOR * torch.sqrt(strength.mean((1, 2, 3), keepdim=True))
        return (cells / (size + floor)).flatten(1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Weights and joins the parts; the network sees the picture and its mirror image."""
        parts = {"student": _unit(self.student(pixels) + self.student(pixels.flip(3)))}
        for name, part in self.descriptors(pixels).items():
            parts[name] = _unit(part - getattr(self, f"{name}_mean"))
        total = sum(WEIGHTS.values())
        weighted = [(weight / total) ** 0.5 * parts[name] for name, weight in WEIGHTS.items()]
        return torch.cat(weighted, dim=1)


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return vectors / torch.sqrt((vectors * vectors).sum(1, keepdim=True) + EPSILON)


def take_means(model: SceneEmbedding, paths: list[Path]) -> None:
    """Stores the mean of each hand-crafted part over the pictures."""
    sums: dict[str, torch.Tensor] = {}
    for path in paths:
        with Image.open(path) as image:
            image.draft("RGB", (2 * INPUT_PX, 2 * INPUT_PX))
            small = image.convert("RGB").resize((INPUT_PX, INPUT_PX), Image.Resampling.BOX)
        pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float()
        for name, part in model.descriptors(pixels).items():
            sums[name] = sums.get(name, torch.zeros(part.shape[1])) + part[0]
    for name, total in sums.items():
        getattr(model, f"{name}_mean").copy_(total / len(paths))


def export(model: SceneEmbedding, out: Path) -> None:
    """Writes one ONNX file: pixels float32 (n, 3, 128, 128) RGB 0..255 -> embedding (n, d).

    Raises:
        RuntimeError: The file gives different results from the model.
    """
    program = torch.onnx.export(
        model,
        (torch.zeros(2, 3, INPUT_PX, INPUT_PX),),
        input_names=["pixels"],
        output_names=["embedding"],
        dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
        opset_version=18,
        dynamo=True,
    )
    assert program is not None
    onnx.save(plain_model(program.model_proto), out)
    session = OrtSession(out, SessionOptions())
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 3, INPUT_PX, INPUT_PX)).astype(np.float32)
    expected = model(torch.from_numpy(pixels)).numpy()
    (got,) = session.run({"pixels": pixels})
    worst = float(np.abs(got - expected).max())
    print(
        f"{out}: {out.stat().st_size} bytes, {got.shape[1]}-d, ONNX Runtime differs by {worst:.1e}"
    )
    if worst > PARITY_TOLERANCE:
        raise RuntimeError("the exported graph gives different results from the model")


def main() -> None:
    parser = argparse.ArgumentParser(description="builds the built-in scene embedding")
    parser.add_argument(
        "--pictures", type=Path, required=True, help="folder made by models.train.pictures"
    )
    parser.add_argument("--student", type=Path, default=Path("build/distill/student.pt"))
    parser.add_argument("--out", type=Path, default=Path("models/builtin/scene-embedding.onnx"))
    arguments = parser.parse_args()
    student = Student()
    student.load_state_dict(torch.load(arguments.student, weights_only=True))
    model = SceneEmbedding(student).eval()
    subjects = pictures.group_by_subject(pictures.find(arguments.pictures).photos)
    with torch.no_grad():
        take_means(model, pictures.drop_duplicates([renditions[0] for renditions in subjects]))
        export(model, arguments.out)


if __name__ == "__main__":
    main()
