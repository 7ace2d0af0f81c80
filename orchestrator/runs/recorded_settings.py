"""Reads and writes the settings and corrections stored with a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from orchestrator.config import PipelineSettings, resolve_auto
from orchestrator.domain.decisions import Correction, DecisionAction
from orchestrator.domain.goal import BEST_OF_MOMENTS
from orchestrator.domain.moments.parameters import WITHOUT_TIME
from orchestrator.domain.photo import ContentClass
from orchestrator.domain.scoring import PersonPenalties
from orchestrator.domain.sets import WITHOUT_SETS
from orchestrator.records import Run
from services.common.config.layers import Layer, load
from services.common.errors import ConfigError, InvalidArgumentError

_PHOTO = ContentClass.PHOTO
_SINCE = Layer(
    "defaults for older runs",
    {
        "find_photos": {"exclude": [], "read_unchanged": True},
        "cluster_scenes": {
            "max_joint_count": None,
            "compare_structure": False,
            "view_weight": 0.0,
            "capture_time": dataclasses.asdict(WITHOUT_TIME),
        },
        "keep_sets": dataclasses.asdict(WITHOUT_SETS),
        "people": {"enabled": False, "split_moments": False},
        "select_best": {
            "goal": dataclasses.asdict(BEST_OF_MOMENTS),
            "stability_margin": 0.0,
            "use_owner_ratings": False,
            "versions": "original",
            "content": {kind.value: "photo" for kind in ContentClass if kind is not _PHOTO},
        },
    },
)
"""Values of newer settings, for runs that were stored before these settings existed."""


def record_config(
    settings: PipelineSettings,
    calibration: tuple[float, float] | None,
    same_person_similarity: float | None = None,
) -> dict[str, Any]:
    """Returns all settings; values that depend on the models are under `resolved`."""
    parameters = resolve_auto(settings.cluster_scenes, calibration)
    resolved: dict[str, Any] = {"cluster_scenes": dataclasses.asdict(parameters)}
    if calibration is not None:
        resolved["calibration"] = list(calibration)
    if same_person_similarity is not None:
        resolved["same_person_similarity"] = same_person_similarity
    return {**settings.model_dump(mode="json"), "resolved": resolved}


def read_settings(run: Run, overrides: dict[str, Any] | None = None) -> PipelineSettings:
    """Reads the settings recorded by a run, and applies `overrides`.

    Raises:
        InvalidArgumentError: An override is invalid.
    """
    stored = {key: value for key, value in run.config.items() if key != "resolved"}
    layers = [_SINCE, Layer(f"run {run.id}", stored), Layer("config_overrides", overrides or {})]
    try:
        return load(PipelineSettings, layers)
    except ConfigError as error:
        raise InvalidArgumentError("config_overrides", error.message) from error


def read_penalties(run: Run) -> PersonPenalties:
    """Reads the thresholds and penalties for faces recorded by a run."""
    return read_settings(run).select_best.person_penalties


def read_calibration(run: Run) -> tuple[float, float] | None:
    """Returns the calibration (scene_distance, cluster_selection_epsilon) recorded by a run."""
    stored = run.config["resolved"].get("calibration")
    return (stored[0], stored[1]) if stored else None


def read_same_person_similarity(run: Run) -> float | None:
    """Reads the identity model's threshold; None if the run did not recognize people."""
    similarity: float | None = run.config["resolved"].get("same_person_similarity")
    return similarity


def record_corrections(corrections: Sequence[Correction]) -> list[dict[str, Any]]:
    """Converts corrections to the form in which a run records them."""
    return [
        {
            "action": correction.action.value,
            "content_digests": list(correction.content_digests),
            "target_digest": correction.target_digest,
        }
        for correction in corrections
    ]


def read_corrections(run: Run) -> list[Correction]:
    """Reads the corrections recorded by a run, in order."""
    return [
        Correction(
            DecisionAction(stored["action"]),
            tuple(stored["content_digests"]),
            stored["target_digest"],
        )
        for stored in run.corrections
    ]
