"""Converts finite scores to bytes and back, losslessly, for the feature cache and the results."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.people.faces import Box, IdentifiedFace
from orchestrator.domain.photo import FaceScores, Landmark, QualityScores
from orchestrator.ports import Embedding, Miniature
from services.common.finite import check_finite, non_finite_place
from services.common.imaging.miniature import MINIATURE_SIDE, STEPS_PER_LEVEL

EMBEDDING_ROLE, THUMBNAIL_ROLE, MINIATURE_ROLE = "embedding", "thumbnail", "miniature"
"""Cache roles whose payloads are not JSON."""


def pack_embedding(embedding: Embedding) -> bytes:
    """Packs the components as little-endian float32; raises NonFiniteError if one is not finite."""
    check_finite(embedding, "the embedding model")
    return embedding.astype("<f4").tobytes()


def unpack_embedding(payload: bytes) -> Embedding:
    """Inverse of `pack_embedding`; the array may be read-only."""
    return np.frombuffer(payload, "<f4").astype(np.float32, copy=False)


def pack_miniature(found: NDArray[np.uint16]) -> bytes:
    """Packs the values as little-endian uint16, row by row."""
    return found.astype("<u2").tobytes()


def unpack_miniature(payload: bytes) -> Miniature:
    """Unpacks the 8-bit levels of a miniature: float32, (32, 32), 0 to 255."""
    values = np.frombuffer(payload, "<u2").reshape(MINIATURE_SIDE, MINIATURE_SIDE)
    return values.astype(np.float32) / np.float32(STEPS_PER_LEVEL)


def pack_identities(faces: Sequence[IdentifiedFace]) -> bytes:
    """Packs faces with their vectors; raises NonFiniteError if a number is not finite."""
    return pack_json(
        [
            {
                "box": dataclasses.astuple(face.box),
                "clarity": face.clarity,
                "vector": base64.b64encode(pack_embedding(face.vector)).decode(),
            }
            for face in faces
        ]
    )


def unpack_identities(payload: bytes) -> tuple[IdentifiedFace, ...]:
    """Inverse of `pack_identities`."""
    return tuple(
        IdentifiedFace(
            Box(*face["box"]), face["clarity"], unpack_embedding(base64.b64decode(face["vector"]))
        )
        for face in unpack_json(payload)
    )


def plain_fields(value: Any) -> dict[str, Any]:  # noqa: ANN401
    """Returns the fields of a dataclass; unlike `dataclasses.asdict`, copies no lists."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def quality_to_json(quality: QualityScores) -> dict[str, Any]:
    """Converts the fields to JSON data, keyed by name; floats keep every digit."""
    return plain_fields(quality)


def quality_from_json(data: dict[str, Any]) -> QualityScores:
    """Inverse of `quality_to_json`."""
    lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
    return QualityScores(**{**data, **lists})


def faces_to_json(faces: tuple[FaceScores, ...]) -> list[dict[str, Any]]:
    """Converts faces to JSON data, with fields keyed by name."""
    return [
        {**plain_fields(face), "landmarks": [plain_fields(mark) for mark in face.landmarks]}
        for face in faces
    ]


def faces_from_json(data: list[dict[str, Any]]) -> tuple[FaceScores, ...]:
    """Inverse of `faces_to_json`."""
    return tuple(
        FaceScores(**{**face, "landmarks": tuple(Landmark(**mark) for mark in face["landmarks"])})
        for face in data
    )


def pack_json(data: object) -> bytes:
    """Packs data as compact JSON with sorted keys; raises NonFiniteError for NaN and infinity."""
    check_finite(data, "a model")
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def unpack_json(payload: bytes) -> Any:  # noqa: ANN401
    """Inverse of `pack_json`."""
    return json.loads(payload)


def is_finite(role: str, payload: bytes) -> bool:
    """Whether a cached payload contains only finite numbers; version 0.1.0 stored others too."""
    if role == EMBEDDING_ROLE:
        return bool(np.isfinite(unpack_embedding(payload)).all())
    if role in (THUMBNAIL_ROLE, MINIATURE_ROLE):
        return True
    if b"NaN" not in payload and b"Infinity" not in payload:  # avoids parsing nearly all payloads
        return True
    return non_finite_place(unpack_json(payload)) is None
