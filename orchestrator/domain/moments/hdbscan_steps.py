"""HDBSCAN's steps, using compiled functions of the hdbscan package without the package's imports.

`import hdbscan` loads scikit-learn and, with it, SciPy's statistics and, if installed, pandas. That
takes over two seconds of processor time at every startup; the two compiled modules that do the work
load in milliseconds.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments import hdbscan_python
from orchestrator.domain.moments.parameters import ClusterParameters

HAS_HDBSCAN = importlib.util.find_spec("hdbscan") is not None
Doubles = NDArray[np.float64]
Labels = NDArray[np.int64]


def _load_steps(*names: str) -> list[ModuleType]:
    """Imports hdbscan's modules without running its `__init__`; returns ours if it is missing."""
    if "hdbscan" in sys.modules:
        return [importlib.import_module(f"hdbscan.{name}") for name in names]
    spec = importlib.util.find_spec("hdbscan")
    if spec is None:
        return [hdbscan_python] * len(names)
    stand_in = ModuleType("hdbscan")
    stand_in.__path__ = list(spec.submodule_search_locations or [])
    sys.modules["hdbscan"] = stand_in
    try:
        return [importlib.import_module(f"hdbscan.{name}") for name in names]
    finally:
        del sys.modules["hdbscan"]  # a later `import hdbscan` gets the real one


_linkage, _tree = _load_steps("_hdbscan_linkage", "_hdbscan_tree")


def link_by_distances(distances: Doubles, min_samples: int) -> Doubles:
    """Builds the mutual-reachability spanning tree of a distance matrix.

    Args:
        distances: (n, n), symmetric, n at least two.
        min_samples: Number of neighbours that a core point must have, excluding the point itself.

    Returns:
        (n - 1, 3): row in the tree, row found, weight; in the order in which the rows are found.
    """
    rank = min(len(distances) - 1, min_samples)
    core = np.partition(distances, rank, axis=0)[rank]
    reachability = np.maximum(np.maximum(distances, core), core[:, np.newaxis])
    return np.asarray(_linkage.mst_linkage_core(np.ascontiguousarray(reachability)), np.float64)


def build_hierarchy(tree: Doubles) -> Doubles:
    """Turns a spanning tree into the merges of single linkage.

    Args:
        tree: (n - 1, 3): row, row, weight, by ascending weight.

    Returns:
        (n - 1, 4), like SciPy's `linkage`: group, group, weight, number of rows in both.
    """
    return np.asarray(_linkage.label(np.ascontiguousarray(tree, np.float64)), np.float64)


def select_clusters(
    tree: Doubles, parameters: ClusterParameters, *, allow_single_cluster: bool = False
) -> Labels:
    """Runs hdbscan's steps after the spanning tree: hierarchy, condensed tree, clusters.

    Args:
        tree: (n - 1, 3): row, row, weight.
        parameters: Only minimum size, method and epsilon are used.
        allow_single_cluster: Whether all rows may be one cluster.

    Returns:
        (n,): a label per row, -1 for noise.
    """
    hierarchy = build_hierarchy(tree[np.argsort(tree.T[2]), :])
    condensed = _tree.condense_tree(hierarchy, parameters.min_cluster_size)
    labels = _tree.get_clusters(
        condensed,
        _tree.compute_stability(condensed),
        parameters.cluster_selection_method,
        allow_single_cluster,
        False,
        parameters.cluster_selection_epsilon,
    )[0]
    return np.asarray(labels, np.int64)
