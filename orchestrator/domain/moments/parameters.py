"""Settings of `cluster_scenes`, and the label for photos in no cluster.

A separate module, because the clustering libraries take a second to import, and most code that
reads settings or results does not need them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from orchestrator.domain.bounds import Auto, Count, Distance

NOISE = -1


@dataclass(frozen=True, slots=True)
class DbscanParameters:
    """Parameters of DBSCAN, named as in scikit-learn."""

    eps: Annotated[float, Gt(0), Le(2)]
    """neighbourhood radius (DBSCAN)"""
    min_samples: Count
    """minimum number of neighbours, including itself, that a core point must have (DBSCAN)"""


@dataclass(frozen=True, slots=True)
class CaptureTimeParameters:
    """How capture time and camera affect the grouping."""

    weight: Annotated[float, Ge(0), Le(2)]
    """how much the time between two photos from the same camera (EXIF) changes their cosine
    distance: a gap of half a minute changes nothing; within 2 seconds, it subtracts this much (but
    no distance is below 0); above half a minute, it adds this much per power of ten, up to 2.5
    times this much from 2.6 hours on; 0: capture time does not affect distances. Photos from
    different cameras are compared by content alone, unless similar photos show how much their
    clocks differ"""
    enabled: bool
    """whether the limits below also join bursts and split moments at pauses"""
    burst_seconds: Annotated[float, Ge(0)]
    """photos taken by the same camera at most this many seconds apart belong to one moment if they
    are within `burst_distance`"""
    burst_distance: Distance
    """maximum distance between photos in a burst"""
    separate_hours: Annotated[float, Ge(0)]
    """a moment is split at a pause of more than this many hours, unless photos before and after it
    are within `separate_distance`; assumes that all camera clocks agree"""
    separate_distance: Distance
    """photos within this distance belong to one moment no matter when they were taken"""


WITHOUT_TIME = CaptureTimeParameters(
    weight=0.0,
    enabled=False,
    burst_seconds=0.0,
    burst_distance=0.0,
    separate_hours=0.0,
    separate_distance=0.0,
)
"""Settings that ignore capture time and camera."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Settings of `cluster_scenes`, named as in HDBSCAN and DBSCAN."""

    method: Literal["hdbscan", "dbscan"]
    """how photos are grouped into moments: `hdbscan` or `dbscan`"""
    metric: Literal["cosine", "euclidean"]
    """`cosine`, or `euclidean` on the unit vectors; the distances below use this metric"""
    min_cluster_size: Annotated[int, Ge(2)]
    """minimum number of photos in a cluster, at least 2 (HDBSCAN)"""
    min_samples: Count
    """minimum number of neighbours that a core point must have, at least 1 (HDBSCAN)"""
    cluster_selection_epsilon: Distance | Auto
    """photos closer than this are not split, unless `scene_distance` requires it: a distance, 0.0
    for none, or `auto` (HDBSCAN)"""
    cluster_selection_method: Literal["eom", "leaf"]
    """which clusters of the tree are selected: `eom`, the most stable ones, or `leaf`, the smallest
    (HDBSCAN)"""
    scene_distance: Distance | Auto | None
    """maximum distance between two photos in a cluster: a distance, `null` for no limit, or `auto`
    (HDBSCAN)"""
    max_joint_count: Count | None
    """maximum number of photos clustered together, because time and memory grow superlinearly;
    larger albums are first split at the longest pauses between captures, and no cluster spans two
    parts; `null` for no limit"""
    compare_structure: bool
    """whether pages of text, screenshots and nearly black frames, whose embeddings are similar
    regardless of content, share a moment only if they are also light and dark in the same places,
    and whether copies and versions of one picture always share a moment"""
    view_weight: Annotated[float, Ge(0), Le(2)]
    """how much common local features change the cosine distance between photos if that distance is
    close to `cluster_selection_epsilon` or `scene_distance`. 12 features in consistent places
    change nothing; fewer add up to 0.48 times this value, if both photos are rich in features; more
    subtract up to 0.62 times this value. 0: photos are compared only by embedding and time (HDBSCAN
    with a `scene_distance`)"""
    dbscan: DbscanParameters
    capture_time: CaptureTimeParameters


@dataclass(frozen=True, slots=True)
class ClusterParameters(ClusterSettings):
    """`ClusterSettings` with `auto` replaced by numbers, for `cluster_scenes`."""

    cluster_selection_epsilon: float
    scene_distance: float | None
