"""The scene embedding: tensor in, unit vector out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.common.inference.onnx import ModelSession, run_items


class EmbeddingModel:
    """Runs the embedding graph.

    Args:
        session: A graph of one input, whose output is (n, d), rows of any length.
    """

    def __init__(self, session: ModelSession) -> None:
        self._session = session
        (self._input_name,) = session.input_names

    def embed(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeds one picture; see `embed_batch`."""
        return self.embed_batch([tensor])[0]

    def embed_batch(self, tensors: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Embeds pictures, in one inference if the graph takes batches.

        The last bits of a result can depend on what else is in its batch.

        Args:
            tensors: float32, each of one picture, as `to_tensor` makes it.

        Returns:
            float32, each (dimension,), unit length.
        """
        rows = run_items(self._session, [{self._input_name: tensor} for tensor in tensors])
        vectors = [row[0].astype(np.float64) for row in rows]
        with np.errstate(divide="ignore", invalid="ignore"):  # a zero vector is refused later
            return [np.asarray(vector / np.linalg.norm(vector), np.float32) for vector in vectors]
