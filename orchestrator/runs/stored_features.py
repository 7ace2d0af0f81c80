"""Reads the embeddings and comparisons that earlier runs stored in the feature cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from orchestrator import features as codec
from orchestrator.domain.selection.verdict import Pair
from orchestrator.ports import Embedding, FeatureCache, Miniature, ModelIdentity
from orchestrator.records import ImageRecord, Run
from orchestrator.storage.people_store import IDENTITY_ROLE
from services.common.imaging.miniature import MINIATURE_SIDE, MINIATURE_VERSION

Key = tuple[str, str, str]
COMPARE_ROLE = "siamese"
NO_MODEL = "-"
"""Model digest of features that are not computed by a model."""
READ_COUNT = 500
"""Keys per read: an SQL statement can contain only a limited number of values."""


def read_embeddings(cache: FeatureCache, run: Run, records: Sequence[ImageRecord]) -> Embedding:
    """Reads the embeddings of a run's photos: float32, (n, d), unit rows."""
    model_digest = run.models["embedding"]["digest"]
    vectors: list[Embedding] = []
    for start in range(0, len(records), READ_COUNT):
        part = records[start : start + READ_COUNT]
        keys = [(record.content_digest, codec.EMBEDDING_ROLE, model_digest) for record in part]
        found = cache.get(keys)
        vectors.extend(codec.unpack_embedding(found[key]) for key in keys)
    return stack_embeddings(vectors)


def thumbnail_key(content_digest: str) -> Key:
    """Returns the cache key of a photo's thumbnail."""
    return content_digest, codec.THUMBNAIL_ROLE, NO_MODEL


def miniature_key(content_digest: str) -> Key:
    """Returns the cache key of a photo's miniature."""
    return content_digest, codec.MINIATURE_ROLE, MINIATURE_VERSION


def identity_key(content_digest: str, models: Mapping[str, ModelIdentity]) -> Key:
    """Returns the cache key of a photo's face vectors."""
    return content_digest, IDENTITY_ROLE, joint_digest(models)


def joint_digest(models: Mapping[str, ModelIdentity]) -> str:
    """Combines the digests of the face and identity models, because vectors depend on both."""
    joint = models["face"].digest + models[IDENTITY_ROLE].digest
    return hashlib.sha256(joint.encode()).hexdigest()


def read_miniatures(cache: FeatureCache, records: Sequence[ImageRecord]) -> Miniature:
    """Reads the miniatures of photos: float32, (n, 32, 32); NaN if an older run stored none."""
    found = np.full((len(records), MINIATURE_SIDE, MINIATURE_SIDE), np.nan, np.float32)
    for start in range(0, len(records), READ_COUNT):
        keys = [
            miniature_key(record.content_digest) for record in records[start : start + READ_COUNT]
        ]
        known = cache.get(keys)
        for place, key in enumerate(keys, start=start):
            if key in known:
                found[place] = codec.unpack_miniature(known[key])
    return found


def stack_embeddings(embeddings: Sequence[Embedding]) -> Embedding:
    """Stacks vectors into float32, (n, d); the shape is (0, 1) if there are none."""
    return np.stack(embeddings) if embeddings else np.empty((0, 1), np.float32)


def stack_miniatures(miniatures: Sequence[Miniature]) -> Miniature:
    """Stacks miniatures into float32, (n, 32, 32)."""
    if not miniatures:
        return np.empty((0, MINIATURE_SIDE, MINIATURE_SIDE), np.float32)
    return np.stack(miniatures)


def read_comparisons(
    cache: FeatureCache, run: Run, pairs: Sequence[Pair], digests: Mapping[str, str]
) -> dict[Pair, float]:
    """Reads the comparisons made by a run's Siamese model; see `find_comparisons`."""
    model_digest = run.models.get("siamese", {}).get("digest", "")
    return find_comparisons(cache, pairs, digests, model_digest)


def find_comparisons(
    cache: FeatureCache, pairs: Sequence[Pair], digests: Mapping[str, str], model_digest: str
) -> dict[Pair, float]:
    """Looks up pairs in the cache; two copies of a file count as equally good.

    Args:
        cache: The feature cache.
        pairs: Pairs of paths.
        digests: Content digests by path.
        model_digest: Digest of the Siamese model.

    Returns:
        Probabilities that the first photo is the better one.
    """
    known: dict[Pair, float] = {}
    for start in range(0, len(pairs), READ_COUNT):
        part = pairs[start : start + READ_COUNT]
        keys = {pair: comparison_key(pair, digests, model_digest) for pair in part}
        found = cache.get([key for key, _ in keys.values()])
        for pair, (key, is_swapped) in keys.items():
            if digests[pair[0]] == digests[pair[1]]:
                known[pair] = 0.5
            elif key in found:
                probability = float(codec.unpack_json(found[key]))
                known[pair] = 1.0 - probability if is_swapped else probability
    return known


def comparison_key(pair: Pair, digests: Mapping[str, str], model_digest: str) -> tuple[Key, bool]:
    """Returns the cache key of a pair, with sorted digests, and whether sorting swaps the pair."""
    first, second = (digests[path] for path in pair)
    low, high = sorted((first, second))
    joint = hashlib.sha256(f"{low}{high}".encode()).hexdigest()
    return (joint, COMPARE_ROLE, model_digest), first != low
