from __future__ import annotations

from dataclasses import fields, is_dataclass

import pytest

from orchestrator.config import (
    PipelineConfig,
    PipelineSettings,
    describe_settings,
    resolve_auto,
)
from orchestrator.domain.moments.parameters import ClusterParameters, ClusterSettings
from services.common.config.layers import Layer, read_yaml
from services.common.errors import ConfigError
from tests.conftest import ROOT

FOLDER = ROOT / "configs"


def cluster_settings(**changes: object) -> ClusterSettings:
    layers = [Layer("test", {"cluster_scenes": changes})]
    return PipelineConfig(FOLDER, "builtin", layers).load().cluster_scenes


def test_every_section_of_the_pipeline_is_a_dataclass_of_the_domain() -> None:
    """This way a setting is declared once: pydantic reads type, bounds and description from it."""
    for field in PipelineSettings.model_fields.values():
        assert is_dataclass(field.annotation)
        assert field.annotation.__module__.startswith("orchestrator.domain.")


def test_every_setting_is_described_in_the_order_of_the_file() -> None:
    described = [setting.key for setting in describe_settings()]
    assert sorted(described) == sorted(leaves(read_yaml(FOLDER / "pipeline.yaml"), ""))
    assert all(setting.description for setting in describe_settings())


def test_bounds_and_choices_match_the_declarations() -> None:
    described = {setting.key: setting for setting in describe_settings()}
    epsilon = described["cluster_scenes.cluster_selection_epsilon"]
    assert (epsilon.minimum, epsilon.maximum, epsilon.choices) == (0, 2, ("auto",))
    penalty = described["select_best.person_penalties.eyes_closed"]
    assert (penalty.minimum, penalty.maximum) == (-1, 0)
    assert described["cluster_scenes.method"].choices == ("hdbscan", "dbscan")
    assert described["cluster_scenes.min_samples"].maximum is None


def test_auto_without_a_calibration_is_an_error() -> None:
    for changes in ({}, {"scene_distance": 0.3}, {"cluster_selection_epsilon": 0.0}):
        with pytest.raises(ConfigError, match="no calibration"):
            resolve_auto(cluster_settings(**changes), None)


def test_auto_follows_the_metric() -> None:
    parameters = resolve_auto(cluster_settings(metric="euclidean"), (0.5, 0.125))
    assert parameters.scene_distance == 1.0
    assert parameters.cluster_selection_epsilon == 0.5


def test_values_other_than_auto_are_kept() -> None:
    settings = cluster_settings(scene_distance=None, cluster_selection_epsilon=0.25)
    for calibration in (None, (0.5, 0.125)):
        parameters = resolve_auto(settings, calibration)
        assert isinstance(parameters, ClusterParameters)
        for field in fields(settings):
            assert getattr(parameters, field.name) == getattr(settings, field.name)


def leaves(tree: dict[str, object], prefix: str) -> list[str]:
    found: list[str] = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        found += leaves(value, f"{name}.") if isinstance(value, dict) else [name]
    return found
