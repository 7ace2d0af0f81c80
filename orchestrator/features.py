"""Converts scores to bytes and back for the feature cache and the results: lossless, and finite."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np

from orchestrator.domain.photo import FaceScores, Landmark, QualityScores
from orchestrator.ports import Embedding
from services.common.finite import check_finite, non_finite_place

EMBEDDING_ROLE, THUMBNAIL_ROLE = "embedding", "thumbnail"
"""Cache roles whose payloads are not JSON."""


def pack_embedding(embedding: Embedding) -> bytes:
    """Little-endian float32 components; NonFiniteError if one is not finite."""
    check_finite(embedding, "the embedding model")
    return embedding.astype("<f4").tobytes()


def unpack_embedding(payload: bytes) -> Embedding:
    """Inverse of `pack_embedding`."""
    return np.frombuffer(payload, "<f4").astype(np.float32)


def quality_to_json(quality: QualityScores) -> dict[str, Any]:
    """Fields by name; floats keep every digit in JSON."""
    return dataclasses.asdict(quality)


def quality_from_json(data: dict[str, Any]) -> QualityScores:
    """Inverse of `quality_to_json`."""
    lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
    return QualityScores(**{**data, **lists})


def faces_to_json(faces: tuple[FaceScores, ...]) -> list[dict[str, Any]]:
    """A list of faces with fields by name."""
    return [dataclasses.asdict(face) for face in faces]


def faces_from_json(data: list[dict[str, Any]]) -> tuple[FaceScores, ...]:
    """Inverse of `faces_to_json`."""
    return tuple(
        FaceScores(**{**face, "landmarks": tuple(Landmark(**mark) for mark in face["landmarks"])})
        for face in data
    )


def pack_json(data: object) -> bytes:
    """Compact JSON, keys sorted; NonFiniteError if a number is not finite."""
    check_finite(data, "a model")
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def unpack_json(payload: bytes) -> Any:  # noqa: ANN401
    """Inverse of `pack_json`."""
    return json.loads(payload)


def is_finite(role: str, payload: bytes) -> bool:
    """Whether a cached payload holds only finite numbers; version 0.1.0 stored others."""
    if role == EMBEDDING_ROLE:
        return bool(np.isfinite(unpack_embedding(payload)).all())
    if role == THUMBNAIL_ROLE:
        return True
    if b"NaN" not in payload and b"Infinity" not in payload:  # avoids parsing nearly all of them
        return True
    return non_finite_place(unpack_json(payload)) is None
