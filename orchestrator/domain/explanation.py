"""Full explanation of one photo's result: the numbers behind it, and readable lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.moments.capture_time import Captures
from orchestrator.domain.moments.metric import from_cosine_distance
from orchestrator.domain.moments.parameters import NOISE, ClusterParameters
from orchestrator.domain.moments.time_term import TimeTerm, time_term
from orchestrator.domain.moments.view_term import ViewTerm
from orchestrator.domain.photo import Candidate
from orchestrator.domain.scoring import check_faces, normalize_ava
from orchestrator.domain.selection.parameters import SelectionParameters
from orchestrator.domain.selection.verdict import Comparisons, Verdict
from orchestrator.domain.wording import format_comparison, pluralize

MAX_DISTANCE_COUNT = 2**24
"""Maximum number of distances computed to explain a photo: all distances among 4,096 photos."""
_SWEEP_COUNT = 8
_PENALTY_NAMES = {
    "eyes_closed": "eyes",
    "face_turned": "pose",
    "not_smiling": "smile",
}

Embeddings = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Term:
    """A part of the composite score: `value` times `weight` is `contribution`."""

    name: str
    value: float
    weight: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Penalty:
    """A rule about the worst prominent face: a score below `threshold` costs `penalty`."""

    name: str
    score: float
    threshold: float
    penalty: float
    is_applied: bool


@dataclass(frozen=True, slots=True)
class Match:
    """A comparison with another tied photo.

    Attributes:
        path: The other photo.
        probability: Probability that the explained photo is the better one.
        is_won: Whether the comparator prefers the explained photo.
    """

    path: str
    probability: float
    is_won: bool


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another photo in the run, and its similarity.

    Attributes:
        path: The other photo.
        similarity: Cosine similarity, -1 to 1.
        distance: Distance in the metric of the grouping.
        is_same_moment: Whether both are in the same moment.
        time_part: Contribution of capture time to `distance`; negative if it brings the two closer.
        view_part: Contribution of common local features to `distance`; likewise.
    """

    path: str
    similarity: float
    distance: float
    is_same_moment: bool
    time_part: float = 0.0
    view_part: float = 0.0


@dataclass(frozen=True, slots=True)
class Grouping:
    """Why the algorithm put a photo into its moment, before the user's corrections.

    Distances are in the metric of the clustering, and None if there is no such photo.

    Attributes:
        method: "hdbscan" or "dbscan".
        metric: "cosine" or "euclidean".
        scene_distance: Maximum distance between two photos of a cluster; None = no bound.
        cluster_selection_epsilon: Photos closer than this are not split.
        dbscan_eps: Neighbourhood radius of DBSCAN.
        cluster_size: Number of photos in its cluster, 1 for noise.
        nearest_inside, farthest_inside: The nearest and farthest photo in its cluster.
        nearest_outside: The nearest photo of another moment.
        joint_distance: Largest distance within the union of its cluster and that of
            `nearest_outside`. For more than 4,096 photos, it is a lower bound, found by repeatedly
            moving to the farthest photo.
        core_distance: Distance to its `min_samples`-th nearest photo, which shows how sparse its
            surroundings are.
        outside_core_distance: The largest core distance in the cluster of `nearest_outside`;
            also None if computing it would take more than `MAX_DISTANCE_COUNT` distances.
        min_samples: Parameter of HDBSCAN.
        separate_hours: Longer pauses split moments; None if pauses do not split them.
        separate_distance: Photos this close are not split by a pause; None if pauses do not split
            moments.
        pause_inside: Seconds between it and `nearest_inside`; None if unknown or not used.
        pause_outside: Seconds between it and `nearest_outside`.
    """

    method: str
    metric: str
    scene_distance: float | None
    cluster_selection_epsilon: float
    dbscan_eps: float
    cluster_size: int
    nearest_inside: Neighbour | None
    farthest_inside: Neighbour | None
    nearest_outside: Neighbour | None
    joint_distance: float | None
    core_distance: float | None
    outside_core_distance: float | None
    min_samples: int
    separate_hours: float | None
    separate_distance: float | None
    pause_inside: float | None
    pause_outside: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Full explanation of one photo's result.

    Attributes:
        path: The photo.
        reason: The sentence stored with it.
        grouping_text: Sentences that explain why it is in its moment.
        terms: Their contributions and `person_penalty` add up to `composite_score`.
        penalties: The face rules; empty without faces.
        person_penalty: Sum of the penalties that are applied, never below `max_penalty`.
        max_penalty: The setting of that name.
        composite_score: The score by which it is ranked.
        lost_to_path: The preferred photo; empty if there is none.
        similarity: Cosine similarity to a selected photo, if it was decisive.
        rank: Rank in its moment, from 1.
        moment_size: Number of photos in its moment.
        points: Sum of its win probabilities; None if it was not tied.
        tied_count: Number of other photos that it was tied with.
        tiebreaker_range: Composite scores this close to the leader's are a tie.
        matches: Its comparisons with the tied photos, closest first.
        neighbours: Most similar photos in the run, nearest first.
        grouping: The numbers behind `grouping_text`.
        decisions: Descriptions of the user's decisions on it that are in force.
        judged_by: Whose faces count, in words, if its moment shows important persons; empty if all
            faces count.
        lines: The whole explanation as text.
    """

    path: str
    reason: str
    grouping_text: str
    terms: tuple[Term, ...]
    penalties: tuple[Penalty, ...]
    person_penalty: float
    max_penalty: float
    composite_score: float
    lost_to_path: str
    similarity: float | None
    rank: int
    moment_size: int
    points: float | None
    tied_count: int
    tiebreaker_range: float
    matches: tuple[Match, ...]
    neighbours: tuple[Neighbour, ...]
    grouping: Grouping
    decisions: tuple[str, ...]
    judged_by: str = ""
    lines: tuple[str, ...] = ()


def terms_of(candidate: Candidate, parameters: SelectionParameters) -> tuple[Term, ...]:
    """Returns the terms of the composite score that come from quality."""
    weights, quality = parameters.quality_weights, candidate.quality
    aesthetic = normalize_ava(quality.ava_score)
    return (
        Term("iqa_score", quality.iqa_score, weights.iqa, weights.iqa * quality.iqa_score),
        Term("(ava_score - 1) / 9", aesthetic, weights.ava, weights.ava * aesthetic),
    )


def penalties_of(verdict: Verdict, parameters: SelectionParameters) -> tuple[Penalty, ...]:
    """Returns the face rules, checked for a photo; empty if it has no faces."""
    return tuple(
        Penalty(check.fault.value, check.score, check.threshold, check.cost, check.is_fault)
        for check in check_faces(verdict.worst, parameters.person_penalties)
    )


def matches_of(path: str, comparisons: Comparisons) -> tuple[Match, ...]:
    """Returns a photo's comparisons, closest match first."""
    found = [
        (second, probability) if first == path else (first, 1.0 - probability)
        for (first, second), probability in comparisons.items()
        if path in (first, second)
    ]
    found.sort(key=lambda match: (abs(match[1] - 0.5), match[0]))
    return tuple(Match(other, probability, probability > 0.5) for other, probability in found)


def neighbours_of(
    index: int,
    paths: Sequence[str],
    embeddings: Embeddings,
    captures: Captures,
    labels: Labels,
    parameters: ClusterParameters,
    count: int,
    views: ViewTerm | None = None,
) -> tuple[Neighbour, ...]:
    """Finds the most similar photos.

    Args:
        index: The photo's row.
        paths: (n,).
        embeddings: float32, (n, d), unit rows.
        captures: Captures of the n photos.
        labels: (n,), moments after the user's corrections.
        parameters: Parameters of the grouping.
        count: Number of photos to return.
        views: Term of the common features of the n photos; None if they do not count.
    """
    similarity = _closeness(index, _Photos(embeddings, None))
    order = [int(row) for row in np.argsort(-similarity, kind="stable") if row != index]
    term = time_term(captures, parameters.capture_time.weight)
    photos = _Photos(embeddings, term, views)
    return tuple(
        _neighbour(index, row, paths, photos, labels, parameters.metric) for row in order[:count]
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Photos:
    """The data behind the distances between photos.

    `term` is None if capture time is not used, `views` if common features are not.
    """

    embeddings: Embeddings
    term: TimeTerm | None
    views: ViewTerm | None = None

    def __len__(self) -> int:
        return len(self.embeddings)

    def take(self, rows: NDArray[np.intp]) -> _Photos:
        return _Photos(
            self.embeddings[rows],
            None if self.term is None else self.term.take(rows),
            None if self.views is None else self.views.take(rows),
        )


def grouping_of(
    index: int,
    paths: Sequence[str],
    embeddings: Embeddings,
    labels: Labels,
    captures: Captures,
    parameters: ClusterParameters,
    views: ViewTerm | None = None,
) -> Grouping:
    """Finds the distances that explain a photo's moment.

    Args:
        index: The photo's row.
        paths: (n,).
        embeddings: float32, (n, d), unit rows.
        labels: (n,), assigned by the algorithm.
        captures: Captures of the n photos.
        parameters: The parameters in force.
        views: Term of the common features of the n photos; None if they do not count.
    """
    photos = _Photos(embeddings, time_term(captures, parameters.capture_time.weight), views)
    closeness = _closeness(index, photos)
    mine = _members(labels, index)
    inside = mine[mine != index]
    outside = np.setdiff1d(np.arange(len(paths)), mine)

    def neighbour(row: int) -> Neighbour:
        return _neighbour(index, row, paths, photos, labels, parameters.metric)

    nearest = int(outside[np.argmax(closeness[outside])]) if len(outside) else None
    theirs = _members(labels, nearest) if nearest is not None else np.empty(0, np.intp)
    joint = np.concatenate([mine, theirs])
    near = int(inside[np.argmax(closeness[inside])]) if len(inside) else None
    far = int(inside[np.argmin(closeness[inside])]) if len(inside) else None
    time = parameters.capture_time

    def pause(other: int | None) -> float | None:
        if other is None or not (time.enabled or _is_timed(photos, index, other)):
            return None
        found = abs(float(captures.seconds[index] - captures.seconds[other]))
        return None if np.isnan(found) else found

    return Grouping(
        method=parameters.method,
        metric=parameters.metric,
        scene_distance=parameters.scene_distance,
        cluster_selection_epsilon=parameters.cluster_selection_epsilon,
        dbscan_eps=parameters.dbscan.eps,
        cluster_size=len(mine),
        nearest_inside=neighbour(near) if near is not None else None,
        farthest_inside=neighbour(far) if far is not None else None,
        nearest_outside=neighbour(nearest) if nearest is not None else None,
        joint_distance=_diameter(photos.take(joint), parameters.metric)
        if nearest is not None
        else None,
        core_distance=_core_distance(index, photos, parameters),
        outside_core_distance=_largest_core_distance(theirs, photos, parameters),
        min_samples=parameters.min_samples,
        separate_hours=time.separate_hours if time.enabled else None,
        separate_distance=time.separate_distance if time.enabled else None,
        pause_inside=pause(near),
        pause_outside=pause(nearest),
    )


def _members(labels: Labels, index: int) -> NDArray[np.intp]:
    if labels[index] == NOISE:
        return np.array([index])
    return np.flatnonzero(labels == labels[index])


def _neighbour(
    index: int,
    row: int,
    paths: Sequence[str],
    photos: _Photos,
    labels: Labels,
    metric: str,
) -> Neighbour:
    is_same = bool(labels[row] == labels[index] and labels[row] != NOISE)
    pair = photos.take(np.array([index, row]))
    closeness = float(_closeness(0, pair)[1])
    similarity = float(_closeness(0, _Photos(pair.embeddings, None))[1])
    distance = _distance(closeness, metric)
    timed = _distance(float(_closeness(0, _Photos(pair.embeddings, pair.term))[1]), metric)
    time_part, view_part = timed - _distance(similarity, metric), distance - timed
    return Neighbour(paths[row], similarity, distance, is_same, time_part, view_part)


def _is_timed(photos: _Photos, one: int, other: int) -> bool:
    """Whether the time between two photos counts."""
    term = photos.term
    return term is not None and bool(term.cameras[one] == term.cameras[other])


def _distance(closeness: float, metric: str) -> float:
    return from_cosine_distance(max(0.0, 1.0 - closeness), metric)


def _closeness(index: int, photos: _Photos) -> NDArray[np.float64]:
    """Returns 1 minus the distance from a row to each row, in float64 like the clustering."""
    vectors = photos.embeddings
    found = vectors.astype(np.float64) @ vectors[index].astype(np.float64)
    if photos.term is not None:
        found -= photos.term.of_pairs(np.array([index]), np.arange(len(vectors)))
    if photos.views is not None:
        found -= photos.views.of_pairs(np.array([index]), np.arange(len(vectors)))
    return np.asarray(found, np.float64)


def _diameter(photos: _Photos, metric: str) -> float:
    if len(photos) ** 2 > MAX_DISTANCE_COUNT:
        return _distance(_lowest_by_sweeps(photos), metric)
    lowest = min(float(_closeness(row, photos).min()) for row in range(len(photos)))
    return _distance(lowest, metric)


def _lowest_by_sweeps(photos: _Photos) -> float:
    """Finds a low closeness between two rows by repeatedly moving to the farthest row."""
    lowest, row = np.inf, 0
    for _ in range(_SWEEP_COUNT):
        closeness = _closeness(row, photos)
        row = int(np.argmin(closeness))
        if closeness[row] >= lowest:
            break
        lowest = float(closeness[row])
    return lowest


def _core_distance(index: int, photos: _Photos, parameters: ClusterParameters) -> float | None:
    closeness = np.delete(_closeness(index, photos), index)
    if len(closeness) < parameters.min_samples:
        return None
    nth = np.partition(closeness, len(closeness) - parameters.min_samples)
    return _distance(float(nth[len(closeness) - parameters.min_samples]), parameters.metric)


def _largest_core_distance(
    members: NDArray[np.intp], photos: _Photos, parameters: ClusterParameters
) -> float | None:
    if len(members) * len(photos) > MAX_DISTANCE_COUNT:
        return None
    found = [_core_distance(int(index), photos, parameters) for index in members]
    return max((value for value in found if value is not None), default=None)


def explanation_lines(found: Explanation) -> Iterator[str]:
    """Yields the reason, then the numbers behind it."""
    yield found.reason
    yield _score(found)
    if found.judged_by:
        yield f"Only the faces of {found.judged_by} count: they are or may be important people."
    if found.penalties:
        yield _faces(found)
    if found.moment_size > 1:
        yield f"Rank {found.rank} of {found.moment_size} in its moment."
    if found.points is not None:
        others = "another photo" if found.tied_count == 1 else f"{found.tied_count} others"
        points = f"{found.points:.2f} of {pluralize(found.tied_count, 'point')}"
        yield (
            f"Tied with {others} within {found.tiebreaker_range:g} of the highest score, so direct "
            f"comparison decides: it won {points}."
        )
    yield from map(_match, found.matches)
    yield found.grouping_text
    if found.neighbours:
        near = ", ".join(
            f"{one.path} {one.similarity:.3f}" + ("" if one.is_same_moment else " (another moment)")
            for one in found.neighbours
        )
        yield f"Most similar: {near}."
    if found.decisions:
        yield f"Your decisions: {'; '.join(found.decisions)}."


def _score(found: Explanation) -> str:
    parts = [f"{term.weight:g} x {term.value:.4f} ({term.name})" for term in found.terms]
    penalty = f" {_signed(found.person_penalty)} (faces)" if found.penalties else ""
    return f"Score {found.composite_score:.4f} = {' + '.join(parts)}{penalty}."


def _faces(found: Explanation) -> str:
    applied = [penalty for penalty in found.penalties if penalty.is_applied]
    if not applied:
        scores = ", ".join(
            f"{_PENALTY_NAMES[penalty.name]} {_format_check(penalty)[0]}"
            for penalty in found.penalties
        )
        return f"No face penalty: lowest scores {scores}, none below its threshold."
    costs = ", ".join(
        f"{penalty.name.replace('_', ' ')} {penalty.penalty:.4g} "
        f"({_PENALTY_NAMES[penalty.name]} {' below '.join(_format_check(penalty))})"
        for penalty in applied
    )
    total = sum(penalty.penalty for penalty in applied)
    floor = f", limited to {found.max_penalty:g}" if total < found.max_penalty else ""
    return f"Face penalties: {costs}{floor}."


def _format_check(penalty: Penalty) -> tuple[str, str]:
    return format_comparison(penalty.score, penalty.threshold)


def _match(match: Match) -> str:
    if match.probability == 0.5:
        return f"Tied with {match.path}."
    verb = "Won against" if match.is_won else "Lost to"
    probability, _ = format_comparison(match.probability, 0.5, 3)
    return f"{verb} {match.path} (probability that this photo is better: {probability})."


def _signed(value: float) -> str:
    return f"- {-value:g}" if value < 0 else f"+ {value:g}"
