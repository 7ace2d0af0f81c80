"""The scene embedding: turns a picture into a unit vector, with one network or two joined ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.common.config.layers import Settings
from services.common.imaging.decode import RgbImage
from services.common.inference.onnx import ModelSession, run_items
from services.common.inference.registry import LocalModel, Preprocessing, Role
from services.common.inference.tensor import picture_vector, to_tensor

Tensor = NDArray[np.float32]
LoadGraph = Callable[[Path], ModelSession]
Prepared = tuple[Tensor, ...]
"""The input of each network, for one picture."""


class Joining(Settings):
    """The weights of the networks in a joined embedding.

    Attributes:
        image_features_share: The image features network's share of the squared length of the
            vector; the other network has the rest. The cosine of two joined vectors is the mean of
            the networks' cosines, weighted by these shares. On six albums with known moments, 0.7
            did better than either network alone.
    """

    image_features_share: float = 0.7


JOINING = Joining()


@dataclass(frozen=True)
class Network:
    """One network of an embedding.

    Attributes:
        session: A graph with one input; its output is (n, d), not normalised, or (n, tokens, d).
        preprocessing: How to turn a picture into its input.
        share: Its share of the squared length of the embedding; all shares sum to 1.
        kind: The model's `network` in models.yaml, which determines how to read the output.
    """

    session: ModelSession
    preprocessing: Preprocessing
    share: float
    kind: str | None = None


class EmbeddingModel:
    """Embeds pictures with one or more networks; joins their unit vectors with weights."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)

    def prepare(self, pixels: RgbImage) -> Prepared:
        """Turns a picture, uint8 (height, width, 3), into the networks' inputs."""
        return tuple(to_tensor(pixels, network.preprocessing) for network in self._networks)

    def embed(self, pixels: RgbImage) -> Tensor:
        """Embeds one picture, uint8 (height, width, 3); see `embed_batch`."""
        return self.embed_batch([self.prepare(pixels)])[0]

    def embed_batch(self, prepared: Sequence[Prepared]) -> list[Tensor]:
        """Embeds pictures, in one inference per network if its graph takes batches.

        The last bits of a result can depend on the rest of its batch.

        Args:
            prepared: The result of `prepare` for each picture.

        Returns:
            float32, each (dimension,), unit length: the networks' vectors concatenated.
        """
        parts = [
            _embed_by(network, [tensors[index] for tensors in prepared])
            for index, network in enumerate(self._networks)
        ]
        return [np.concatenate(vectors).astype(np.float32) for vectors in zip(*parts, strict=True)]


def load_networks(model: LocalModel, load_graph: LoadGraph) -> list[Network]:
    """Loads the networks of a model: its own, or those of its parts.

    Raises:
        ConfigError: models.yaml does not specify the preprocessing for a network.
    """
    if not model.parts:
        return [_load(model, load_graph, 1.0)]
    share = JOINING.image_features_share
    return [
        _load(model.parts[Role.IMAGE_FEATURES], load_graph, share),
        _load(model.parts[Role.EMBEDDING], load_graph, 1.0 - share),
    ]


def _load(model: LocalModel, load_graph: LoadGraph, share: float) -> Network:
    session = load_graph(model.paths["graph"])
    return Network(session, model.preprocessing, share, model.entry.network)


def _embed_by(network: Network, tensors: Sequence[Tensor]) -> list[NDArray[np.float64]]:
    """Runs one network; returns float64 vectors whose squared length is its share."""
    (name,) = network.session.input_names
    rows = run_items(network.session, [{name: tensor} for tensor in tensors])
    vectors = [picture_vector(row, network.kind) for row in rows]
    with np.errstate(divide="ignore", invalid="ignore"):  # the caller rejects NaN
        return [np.sqrt(network.share) * vector / np.linalg.norm(vector) for vector in vectors]
