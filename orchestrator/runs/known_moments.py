"""Keeps the moments that a run has found, for runs on exactly the same photos and settings.

In a run with nothing new, finding the moments would take longest. They depend only on the arguments
of `KnownMoments.find` and on the software, so they are looked up by a digest of those arguments and
of the versions of software and models.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from orchestrator import features as codec
from orchestrator.domain.alteration import Alteration, Edit
from orchestrator.domain.moments.parameters import ClusterParameters
from orchestrator.domain.sets import SetKind, SetParameters, SetPlace
from orchestrator.ports import Embedding, FeatureCache, Miniature
from orchestrator.records import ImageRecord
from orchestrator.runs.overlaps import COMMON_VERSION, OVERLAP_VERSION
from orchestrator.runs.selection import Moments
from orchestrator.runs.stored_features import Key

MOMENTS_ROLE, MOMENTS_VERSION = "moments", "1"
UNKNOWN_CODE = "-dirty"
"""Suffix of the revision of a modified checkout, whose results are not kept."""
_SCORES = ("quality", "faces")
"""Fields that depend only on the content of a photo and the models."""

FindMoments = Callable[[Callable[[str], object]], Moments]
"""Finds the moments; its argument receives notes about the run."""


class KnownMoments:
    """Moments of earlier runs.

    Args:
        cache: Where the moments are kept.
        versions: Versions of the software, as a run records them.
        models: The digests of the run's models by role.
    """

    def __init__(
        self, cache: FeatureCache, versions: Mapping[str, str], models: Mapping[str, str]
    ) -> None:
        self._cache = cache
        self._versions = dict(versions)
        self._models = dict(models)

    def find(
        self,
        embeddings: Embedding,
        miniatures: Miniature,
        records: Sequence[ImageRecord],
        parameters: ClusterParameters,
        sets: SetParameters,
        find_moments: FindMoments,
        note: Callable[[str], object],
    ) -> Moments:
        """Looks up the moments of photos, or finds and keeps them.

        Args:
            embeddings: float32, (n, d), row i for record i.
            miniatures: float32, (n, 32, 32), row i for record i.
            records: Readable photos, ordered by path.
            parameters: The clustering parameters in force.
            sets: The settings for sets in force.
            find_moments: Finds the moments from these arguments.
            note: Receives notes about the run, including those that an earlier run stored.
        """
        if self._versions.get("git_revision", "").endswith(UNKNOWN_CODE):
            return find_moments(note)
        key = self._key(embeddings, miniatures, records, parameters, sets)
        stored = self._cache.get([key]).get(key)
        if stored is None:
            notes: list[str] = []
            moments = find_moments(notes.append)
            stored = codec.pack_json(_to_json(moments, notes))
            self._cache.put({key: stored})
        found = codec.unpack_json(stored)
        for sentence in found["notes"]:
            note(sentence)
        return _from_json(found)

    def _key(
        self,
        embeddings: Embedding,
        miniatures: Miniature,
        records: Sequence[ImageRecord],
        parameters: ClusterParameters,
        sets: SetParameters,
    ) -> Key:
        names = [one.name for one in dataclasses.fields(ImageRecord) if one.name not in _SCORES]
        facts = {
            "versions": self._versions,
            "models": self._models,
            "overlaps": (OVERLAP_VERSION, COMMON_VERSION),
            "parameters": dataclasses.asdict(parameters),
            "sets": dataclasses.asdict(sets),
            "records": [[getattr(record, name) for name in names] for record in records],
            "shapes": (embeddings.shape, miniatures.shape),
        }
        digest = hashlib.sha256(
            json.dumps(facts, sort_keys=True, default=codec.plain_fields).encode()
        )
        for array in (embeddings, miniatures):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest(), MOMENTS_ROLE, MOMENTS_VERSION


def _to_json(moments: Moments, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "labels": moments.labels.tolist(),
        "places": [place and codec.plain_fields(place) for place in moments.places],
        "alterations": [found and codec.plain_fields(found) for found in moments.alterations],
        "notes": list(notes),
    }


def _from_json(data: Mapping[str, Any]) -> Moments:
    return Moments(
        np.array(data["labels"], np.int64),
        [
            place and SetPlace(**{**place, "kind": SetKind(place["kind"])})
            for place in data["places"]
        ],
        [
            found and Alteration(found["original"], tuple(map(Edit, found["edits"])))
            for found in data["alterations"]
        ],
    )
