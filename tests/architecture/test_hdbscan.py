"""The private functions of hdbscan that we call, which any upgrade may change."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path

import numpy as np
from hdbscan._hdbscan_linkage import label
from hdbscan.hdbscan_ import _tree_to_labels
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
ADVICE = (
    "hdbscan changed a private function that orchestrator/domain/moments/clustering.py and "
    "spanning_tree.py call: adapt the calls, then this test"
)


def test_tree_to_labels_has_the_signature_that_clustering_calls() -> None:
    parameters = list(inspect.signature(_tree_to_labels).parameters)
    assert parameters[:5] == [
        "X",
        "single_linkage_tree",
        "min_cluster_size",
        "cluster_selection_method",
        "allow_single_cluster",
    ], ADVICE
    assert "cluster_selection_epsilon" in parameters, ADVICE


def test_tree_to_labels_returns_the_labels_first() -> None:
    tree = label(np.array([[0, 1, 0.1], [2, 3, 0.1], [1, 2, 5.0]]))
    labels = _tree_to_labels(None, tree, 2, "eom", allow_single_cluster=False)[0]
    assert labels[0] == labels[1] != labels[2] == labels[3], ADVICE


def test_label_turns_a_sorted_spanning_tree_into_a_single_linkage_tree() -> None:
    assert list(inspect.signature(label).parameters) == ["L"], ADVICE
    tree = label(np.array([[0, 1, 0.1], [1, 2, 0.5]]))
    assert tree.tolist() == [[0, 1, 0.1, 2], [3, 2, 0.5, 3]] or tree.tolist() == [
        [0, 1, 0.1, 2],
        [2, 3, 0.5, 3],
    ], ADVICE


def test_the_next_minor_version_is_not_installed_unseen() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [ours] = [
        requirement
        for requirement in map(Requirement, project["dependencies"])
        if requirement.name == "hdbscan"
    ]
    assert "0.9" not in ours.specifier
