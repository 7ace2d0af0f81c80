"""Canonical image to the tensor of the embedding graph: what models.yaml says of it is all."""

from services.common.inference.tensor import to_tensor

__all__ = ["to_tensor"]
