"""Canonical image to the tensor of the comparison graph."""

from services.common.inference.tensor import to_full_tensor, to_tensor

__all__ = ["to_full_tensor", "to_tensor"]
