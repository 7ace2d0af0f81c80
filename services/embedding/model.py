"""The scene embedding: tensor in, unit vector out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.common.onnx import ModelSession


class EmbeddingModel:
    """Runs the embedding graph, one picture an inference: the same bits whatever the batch.

    Args:
        session: A graph of one input, whose first output is (1, d), of any length.
    """

    def __init__(self, session: ModelSession) -> None:
        self._session = session
        (self._input_name,) = session.input_names

    def embed(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeds one picture.

        Args:
            tensor: float32, of one picture, as `to_tensor` makes it.

        Returns:
            float32, (dimension,), unit length.
        """
        (embeddings,) = self._session.run({self._input_name: tensor})
        vector = embeddings[0].astype(np.float64)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)
