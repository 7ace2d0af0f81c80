"""What `cluster_scenes` is told, and the label of what belongs to no cluster.

By themselves: who reads settings or results needs no clustering library, which takes a second to
load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NOISE = -1


@dataclass(frozen=True, slots=True)
class CaptureTimeParameters:
    """How capture time and camera take part.

    Attributes:
        enabled: Whether they do.
        burst_seconds: Photos that one camera took so close in time are of one moment ...
        burst_distance: ... where they are no farther apart than this.
        separate_hours: Photos with a longer pause between them are of several moments ...
        separate_distance: ... unless two of them are this close.
    """

    enabled: bool
    burst_seconds: float
    burst_distance: float
    separate_hours: float
    separate_distance: float


WITHOUT_TIME = CaptureTimeParameters(
    enabled=False,
    burst_seconds=0.0,
    burst_distance=0.0,
    separate_hours=0.0,
    separate_distance=0.0,
)
"""Capture time and camera take no part."""


@dataclass(frozen=True, slots=True)
class ClusterParameters:
    """Parameters of `cluster_scenes`, named as HDBSCAN and DBSCAN name them.

    Attributes:
        method: Which algorithm.
        metric: "cosine" distance, or "euclidean" on the unit vectors.
        min_cluster_size: Fewest photos of a cluster (HDBSCAN).
        min_samples: Neighbours that make a photo a core point (HDBSCAN).
        cluster_selection_epsilon: Clusters closer than this are not split (HDBSCAN).
        cluster_selection_method: "eom" or "leaf" (HDBSCAN).
        scene_distance: Photos farther apart are never in one cluster (HDBSCAN); None = no bound.
        max_joint_count: Most photos that are clustered together; more are parted by capture time
            first, and no cluster reaches over two parts. None = no bound.
        dbscan_eps: Neighbourhood radius (DBSCAN).
        dbscan_min_samples: Neighbours, itself counted, that make a core point (DBSCAN).
        capture_time: How capture time and camera take part.
    """

    method: Literal["hdbscan", "dbscan"]
    metric: Literal["cosine", "euclidean"]
    min_cluster_size: int
    min_samples: int
    cluster_selection_epsilon: float
    cluster_selection_method: Literal["eom", "leaf"]
    scene_distance: float | None
    dbscan_eps: float
    dbscan_min_samples: int
    max_joint_count: int | None
    capture_time: CaptureTimeParameters
