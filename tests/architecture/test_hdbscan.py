"""Checks the private functions of hdbscan that we call, because any upgrade may change them."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hdbscan._hdbscan_linkage import label
from hdbscan._hdbscan_tree import compute_stability, condense_tree, get_clusters
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
ADVICE = (
    "hdbscan changed a private function that orchestrator/domain/moments/hdbscan_steps.py calls: "
    "adapt the calls, then this test"
)


def test_cluster_selection_has_the_parameters_that_we_pass() -> None:
    labels = get_clusters(
        tree := condense_tree(label(np.array([[0, 1, 0.1], [2, 3, 0.1], [1, 2, 5.0]])), 2),
        compute_stability(tree),
        cluster_selection_method="eom",
        allow_single_cluster=False,
        match_reference_implementation=False,
        cluster_selection_epsilon=0.0,
    )[0]
    assert labels[0] == labels[1] != labels[2] == labels[3], ADVICE


@pytest.mark.slow
def test_moments_are_found_without_loading_scikit_learn() -> None:
    """Importing them would add two seconds to every `bestshot curate`."""
    code = """
import sys
import numpy as np
from tests.unit.orchestrator.domain.moments.test_hdbscan_steps import BOUNDED
from orchestrator.domain.moments.clustering import cluster_scenes
cluster_scenes(np.eye(9, 16, dtype=np.float32)[[0, 0, 0, 0, 1, 1, 2]], BOUNDED)
assert not {"sklearn", "pandas", "hdbscan"} & set(sys.modules)
"""
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **paths}, cwd=ROOT, check=True)


def test_label_turns_a_sorted_spanning_tree_into_a_single_linkage_tree() -> None:
    assert list(inspect.signature(label).parameters) == ["L"], ADVICE
    tree = label(np.array([[0, 1, 0.1], [1, 2, 0.5]]))
    assert tree.tolist() == [[0, 1, 0.1, 2], [3, 2, 0.5, 3]] or tree.tolist() == [
        [0, 1, 0.1, 2],
        [2, 3, 0.5, 3],
    ], ADVICE


def test_a_new_minor_version_needs_a_review() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [ours] = [
        requirement
        for requirement in map(Requirement, project["dependencies"])
        if requirement.name == "hdbscan"
    ]
    assert "0.9" not in ours.specifier
