"""Turns API messages into plain values for the templates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from services.common.stages import STAGE_TITLES
from ui.captions import duration, moment_title, pluralize, status
from ui.scores import SCORES, score_value

STATE_WORDS = {
    pb.RUN_STATE_PENDING: "queued",
    pb.RUN_STATE_RUNNING: "running",
    pb.RUN_STATE_COMPLETED: "completed",
    pb.RUN_STATE_FAILED: "failed",
    pb.RUN_STATE_CANCELLED: "cancelled",
    pb.RUN_STATE_INTERRUPTED: "interrupted",
}
HEADLINES = {
    pb.RUN_STATE_PENDING: "Run queued",
    pb.RUN_STATE_RUNNING: "Run in progress",
    pb.RUN_STATE_COMPLETED: "Run completed",
    pb.RUN_STATE_FAILED: "Run failed",
    pb.RUN_STATE_CANCELLED: "Run cancelled",
    pb.RUN_STATE_INTERRUPTED: "Run interrupted",
}
ACTIVE_STATES = (pb.RUN_STATE_PENDING, pb.RUN_STATE_RUNNING)


@dataclass(frozen=True)
class Group:
    """Photos of one moment on a page of the gallery."""

    title: str
    note: str
    images: list[pb.ImageResult]


@dataclass(frozen=True)
class Stage:
    """One progress bar."""

    title: str
    completed: int
    total: int
    note: str


@dataclass(frozen=True)
class Row:
    """A score of a photo and of the one beside it, and which value is better, if either."""

    title: str
    value: str
    other: str = ""
    better: Literal["first", "other", ""] = ""


@dataclass(frozen=True)
class Cell:
    """A cell of the metrics table."""

    text: str
    is_number: bool = True


@dataclass(frozen=True)
class Bar:
    """A bar of a chart whose size is 200 x 80."""

    left: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A bar chart; screen readers read out `description`, or the title if it is empty."""

    title: str
    low: str
    high: str
    note: str = ""
    bars: list[Bar] = field(default_factory=list)
    description: str = ""


_TABLE_SCORES = [score for score in SCORES if score.in_table]
COLUMNS = (
    ("Image", "path"),
    ("Status", "status"),
    *((score.heading, score.name) for score in _TABLE_SCORES),
    ("Faces", "face_count"),
    ("Moment", "cluster_id"),
    ("Reason", "reason"),
)
"""Titles of the metrics table's columns, and the fields they sort by."""

_SCORE_LABELS = {score.name: score.label for score in SCORES}


def groups(
    images: Sequence[pb.ImageResult], clusters: dict[int, pb.Cluster], *, by_moment: bool
) -> list[Group]:
    """Groups a page's photos by moment, in order; if not ordered by moment, into one group."""
    if not by_moment:
        return [Group("", "", list(images))] if images else []
    found = []
    for title, members in itertools.groupby(images, moment_title):
        shown = list(members)
        cluster = clusters.get(shown[0].cluster_id) if shown[0].HasField("cluster_id") else None
        note = pluralize(len(shown), "photo")
        if cluster is not None:
            note = f"{pluralize(cluster.image_count, 'shot')}, {cluster.selected_count} selected"
            if len(shown) < cluster.image_count:
                note += f", {len(shown)} on this page"
        found.append(Group(title, note, shown))
    return found


def stages(run: pb.Run) -> list[Stage]:
    """Builds a run's progress bars, with rate and remaining time if known."""
    found = []
    for stage in run.stages:
        notes = []
        left = stage.total_count - stage.completed_count
        if stage.elapsed_seconds > 0.5 and stage.completed_count and stage.total_count > 1:
            rate = stage.completed_count / stage.elapsed_seconds
            notes.append(f"{rate:.1f} per second")
            if left > 0 and run.state == pb.RUN_STATE_RUNNING:
                notes.append(f"{duration(left / rate)} left")
        if stage.cached_count:
            notes.append(f"{stage.cached_count} from the cache")
        if stage.failed_count:
            notes.append(f"{stage.failed_count} failed")
        found.append(
            Stage(
                STAGE_TITLES.get(stage.stage, stage.stage),
                stage.completed_count,
                stage.total_count,
                ", ".join(notes),
            )
        )
    return found


def run_title(run: pb.Run) -> str:
    """Describes a run in one line, for lists."""
    began = run.create_time.ToDatetime().astimezone()
    words = [f"{began:%Y-%m-%d %H:%M:%S}", run.profile, STATE_WORDS.get(run.state, "?")]
    if run.state == pb.RUN_STATE_COMPLETED:
        words.append(f"{run.summary.selected_count} of {run.summary.photo_count} selected")
    if run.source_run_id:
        words.append("reselected")
    return ", ".join(words)


def score_rows(image: pb.ImageResult, other: pb.ImageResult | None) -> list[Row]:
    """Lists every score of a photo next to another photo's."""
    if image.status != pb.IMAGE_STATUS_SCORED:
        return []
    rival = other if other and other.status == pb.IMAGE_STATUS_SCORED else None
    rows = []
    for score in SCORES:
        value = score_value(image, score)
        against = score_value(rival, score) if rival is not None else None
        better: Literal["first", "other", ""] = ""
        if value is not None and against is not None and _number(value) != _number(against):
            better = "first" if (value > against) != score.lower_is_better else "other"
        label = f"{score.label}, {score.unit}" if score.unit else score.label
        rows.append(Row(label, _number(value), _number(against), better))
    return rows


def metrics_cells(image: pb.ImageResult) -> list[Cell]:
    """Builds the cells of a photo's row, in the order of COLUMNS."""
    scored = image.status == pb.IMAGE_STATUS_SCORED
    return [
        Cell(image.path, is_number=False),
        Cell(status(image), is_number=False),
        *(Cell(_number(score_value(image, score) if scored else None)) for score in _TABLE_SCORES),
        Cell(str(len(image.faces)) if scored else ""),
        Cell(_moment(image)),
        Cell(image.reason, is_number=False),
    ]


def _moment(image: pb.ImageResult) -> str:
    if not image.HasField("cluster_id"):
        return ""
    return str(image.cluster_id + 1) if image.cluster_id >= 0 else "single"


def charts(statistics: pb.GetRunStatisticsResponse) -> list[Chart]:
    """Builds charts of the score and cluster size distributions."""
    found = []
    for histogram in statistics.histograms:
        span = (histogram.maximum - histogram.minimum) / len(histogram.counts)
        texts = [
            f"{histogram.minimum + index * span:.2f} to "
            f"{histogram.minimum + (index + 1) * span:.2f}: {count}"
            for index, count in enumerate(histogram.counts)
        ]
        found.append(
            Chart(
                _SCORE_LABELS.get(histogram.score, histogram.score),
                f"{histogram.minimum:.1f}",
                f"{histogram.maximum:.1f}",
                pluralize(sum(histogram.counts), "photo"),
                _bars(list(histogram.counts), texts),
            )
        )
    sizes = {entry.image_count: entry.cluster_count for entry in statistics.cluster_sizes}
    if sizes:
        counts = [sizes.get(size, 0) for size in range(1, max(sizes) + 1)]
        texts = [
            f"{pluralize(count, 'moment')} with {pluralize(size, 'photo')}"
            for size, count in enumerate(counts, start=1)
        ]
        note = pluralize(sum(counts), "moment")
        bars = _bars(counts, texts)
        found.append(Chart("Photos per moment", "1", str(max(sizes)), note, bars))
    return found


def votes_chart(image: pb.ImageResult) -> Chart | None:
    """Charts the predicted votes on a photo; None if its quality model does not predict votes."""
    shares = list(image.quality.ava_distribution)
    if not shares:
        return None
    percents = [round(100 * share) for share in shares]
    texts = [f"vote {vote}: {percent}%" for vote, percent in enumerate(percents, start=1)]
    mean = f"mean {image.quality.ava_score:.2f}"
    return Chart(
        f"Predicted votes for {image.filename}",
        "1",
        str(len(shares)),
        mean,
        _bars(shares, texts),
        f"Predicted votes for {image.filename}: {', '.join(texts)}; {mean}",
    )


def _bars(counts: Sequence[float], texts: list[str]) -> list[Bar]:
    width, highest = 200 / len(counts), max(counts) or 1
    return [
        Bar(round(index * width, 2), round(width * 0.9, 2), round(76 * count / highest, 2), text)
        for index, (count, text) in enumerate(zip(counts, texts, strict=True))
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
