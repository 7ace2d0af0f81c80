"""DINOv2 (Oquab et al. 2023) with the keys of the official checkpoints, in plain PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

PATCH_PX = 14
TRAINED_SIDE_PX = 518
"""Picture size in training, for which the checkpoints have position embeddings."""
MLP_RATIO = 4
NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class Shape:
    """Size of a Vision Transformer.

    Attributes:
        register_count: Number of tokens without a patch (Darcet et al. 2024).
    """

    width: int
    depth: int
    head_count: int
    register_count: int = 0


SHAPES = {
    "dinov2-vits14": Shape(384, 12, 6),
    "dinov2-vitb14": Shape(768, 12, 12),
    "dinov2-vits14-reg": Shape(384, 12, 6, register_count=4),
    "dinov2-vitb14-reg": Shape(768, 12, 12, register_count=4),
}


class _Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.head_count = shape.head_count
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.proj = nn.Linear(shape.width, shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # reads only these two sizes, so that the batch stays dynamic in the graph
        length, width = x.shape[1], x.shape[2]
        qkv = self.qkv(x).reshape(-1, length, 3, self.head_count, width // self.head_count)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(-1, length, width))


class _LayerScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.attn = _Attention(shape)
        self.ls1 = _LayerScale(shape.width)
        self.norm2 = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.mlp = _Mlp(shape.width)
        self.ls2 = _LayerScale(shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class _PatchEmbed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_PX, PATCH_PX)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.proj(pixels).flatten(2).transpose(1, 2)


class DinoV2(nn.Module):
    """Maps normalised pictures (n, 3, 224, 224) to unit vectors (n, width), the class token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        patch_count = (TRAINED_SIDE_PX // PATCH_PX) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patch_count, shape.width))
        self.register_tokens: nn.Parameter | None = None
        if shape.register_count:
            self.register_tokens = nn.Parameter(torch.zeros(1, shape.register_count, shape.width))
        self.mask_token = nn.Parameter(torch.zeros(1, shape.width))  # used only in training
        self.patch_embed = _PatchEmbed(shape.width)
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Accepts square pictures of any size that is a multiple of 14."""
        patches = self.patch_embed(pixels)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(patches.shape[0], -1, -1)
        side = pixels.shape[-1] // PATCH_PX
        positions = self.pos_embed[:, 1:]
        if self.register_tokens is None:
            x = torch.cat([first, patches + resize_positions(positions, side)], dim=1)
        else:
            registers = self.register_tokens.expand(patches.shape[0], -1, -1)
            patches = patches + resize_positions_smoothly(positions, side)
            x = torch.cat([first, registers, patches], dim=1)
        for block in self.blocks:
            x = block(x)
        return F.normalize(self.norm(x[:, 0]), dim=1)


def resize_positions(trained: torch.Tensor, side: int) -> torch.Tensor:
    """Resizes position embeddings (1, n, width) to a new grid, like the official code.

    The official code adds 0.1 to the target side, which shifts the grid a little. We do the same,
    because the published features were computed that way.
    """
    grid = _grid(trained)
    if side == grid.shape[-1]:
        return trained
    factor = (side + 0.1) / grid.shape[-1]
    resized = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
    return resized.permute(0, 2, 3, 1).flatten(1, 2)


def resize_positions_smoothly(trained: torch.Tensor, side: int) -> torch.Tensor:
    """Resizes like the official code for networks with registers: antialiased, not shifted."""
    grid = _grid(trained)
    if side == grid.shape[-1]:
        return trained
    resized = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=True)
    return resized.permute(0, 2, 3, 1).flatten(1, 2)


def _grid(positions: torch.Tensor) -> torch.Tensor:
    side = round(positions.shape[1] ** 0.5)
    return positions.reshape(1, side, side, -1).permute(0, 3, 1, 2)
