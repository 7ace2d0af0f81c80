"""Settings of `cluster_scenes`, and the label of photos in no cluster.

In a module of its own, because the clustering libraries take a second to import and most readers of
settings or results do not need them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from orchestrator.domain.bounds import Auto, Count, Distance

NOISE = -1


@dataclass(frozen=True, slots=True)
class DbscanParameters:
    """Parameters of DBSCAN, under its own names."""

    eps: Annotated[float, Gt(0), Le(2)]
    """neighbourhood radius (DBSCAN)"""
    min_samples: Count
    """neighbours, the photo itself included, that make a core point (DBSCAN)"""


@dataclass(frozen=True, slots=True)
class CaptureTimeParameters:
    """How capture time and camera take part in the grouping."""

    enabled: bool
    """whether capture time and camera, from EXIF, are evidence for moments; `false` leaves the
    grouping to HDBSCAN or DBSCAN alone"""
    burst_seconds: Annotated[float, Ge(0)]
    """photos taken by one camera at most this many seconds apart belong to one moment, if they are
    within `burst_distance`"""
    burst_distance: Distance
    """photos of a burst that are farther apart are not joined"""
    separate_hours: Annotated[float, Ge(0)]
    """a moment is split at a pause of more than this many hours, unless photos before and after it
    are within `separate_distance`; assumes that the clocks of all cameras agree"""
    separate_distance: Distance
    """photos this close belong to one moment whenever they were taken"""


WITHOUT_TIME = CaptureTimeParameters(
    enabled=False,
    burst_seconds=0.0,
    burst_distance=0.0,
    separate_hours=0.0,
    separate_distance=0.0,
)
"""Capture time and camera take no part."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Settings of `cluster_scenes`, named as HDBSCAN and DBSCAN name them."""

    method: Literal["hdbscan", "dbscan"]
    """how photos are grouped into moments: `hdbscan` or `dbscan`"""
    metric: Literal["cosine", "euclidean"]
    """`cosine`, or `euclidean` on the unit vectors; distances below are in its unit"""
    min_cluster_size: Annotated[int, Ge(2)]
    """fewest photos of a cluster, from 2 (HDBSCAN)"""
    min_samples: Count
    """neighbours that make a core point, from 1 (HDBSCAN)"""
    cluster_selection_epsilon: Distance | Auto
    """photos closer than this are not split unless `scene_distance` requires it: a distance, 0.0
    for none, or `auto` (HDBSCAN)"""
    cluster_selection_method: Literal["eom", "leaf"]
    """which clusters of the tree are selected: `eom`, the most stable ones, or `leaf`, the smallest
    (HDBSCAN)"""
    scene_distance: Distance | Auto | None
    """photos farther apart are never in one cluster: a distance, `null` for no bound, or `auto`
    (HDBSCAN)"""
    max_joint_count: Count | None
    """most photos that are clustered together, because time and memory grow faster than their
    number; larger albums are first split at the longest pauses between captures, and no cluster
    spans two parts; `null` for no bound"""
    dbscan: DbscanParameters
    capture_time: CaptureTimeParameters


@dataclass(frozen=True, slots=True)
class ClusterParameters(ClusterSettings):
    """`ClusterSettings` with `auto` replaced by numbers: what the clustering takes."""

    cluster_selection_epsilon: float
    scene_distance: float | None
