"""Compares two runs: inputs, results and moments."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.records import ImageRecord, Run, moments_of
from orchestrator.storage.companions import is_sidecar

Scalar = str | float | int | bool | None

INPUT_FIELDS = (
    "content_digest",
    "size_bytes",
    "companion_paths",
    "version_of_path",
    "owner_mark",
)
"""Fields of a photo that describe its files."""


RUNTIME_VERSIONS = "runtime_versions"
"""Field of a model that describes its runtime, not the model itself."""
FILE_SOURCES = "file_sources"
"""Field of a model that states where its files were fetched from."""


@dataclass(frozen=True, slots=True)
class Change:
    """A value that differs.

    Attributes:
        subject: Path of the photo; empty for values of the whole run.
        field: Dotted, such as "quality.iqa_score" or "faces.0.smile_score".
        before: Value in the first run; also None if the value is missing there.
        after: Value in the second run; None if it is missing there.
    """

    subject: str
    field: str
    before: Scalar
    after: Scalar

    @property
    def is_input(self) -> bool:
        """Whether it concerns a photo's files."""
        return self.field.partition(".")[0] in INPUT_FIELDS

    @property
    def difference(self) -> float | None:
        """Difference of two numbers; None for other values."""
        numbers = [
            value
            for value in (self.before, self.after)
            if isinstance(value, float | int) and not isinstance(value, bool)
        ]
        return float(numbers[1]) - float(numbers[0]) if len(numbers) == 2 else None


@dataclass(frozen=True, slots=True)
class Regrouping:
    """Photos whose moments differ between the two runs.

    Attributes:
        before: The moments in the first run, each a tuple of paths (one path for a single shot).
        after: The moments of the same photos in the second run.
    """

    before: tuple[tuple[str, ...], ...]
    after: tuple[tuple[str, ...], ...]

    @property
    def kind(self) -> str:
        """One of "split", "merged" and, for anything else, "regrouped"."""
        if len(self.before) == 1:
            return "split"
        return "merged" if len(self.after) == 1 else "regrouped"


@dataclass(frozen=True, slots=True)
class RunDiff:
    """Differences between a first and a second run.

    Attributes:
        settings: Changes in the configuration in force.
        models: Changes in the models, by role and field.
        versions: Changed versions of the orchestrator or of the software behind a model.
        added_paths: Photos only in the second run.
        removed_paths: Photos only in the first run.
        photos: Changes in photos that are in both runs.
        regroupings: Moments that were split, merged or both, among photos that both runs read.
        gained_paths: Photos selected only in the second run.
        lost_paths: Photos selected only in the first run.
    """

    settings: tuple[Change, ...]
    models: tuple[Change, ...]
    versions: tuple[Change, ...]
    added_paths: tuple[str, ...]
    removed_paths: tuple[str, ...]
    photos: tuple[Change, ...]
    regroupings: tuple[Regrouping, ...]
    gained_paths: tuple[str, ...]
    lost_paths: tuple[str, ...]

    @property
    def changed_files(self) -> tuple[str, ...]:
        """Photos whose files differ."""
        return tuple(dict.fromkeys(change.subject for change in self.photos if change.is_input))

    @property
    def results(self) -> tuple[Change, ...]:
        """Changes in computed values."""
        return tuple(change for change in self.photos if not change.is_input)

    @property
    def is_same_input(self) -> bool:
        """Whether settings, models and files are the same; versions may differ."""
        return not (
            self.settings
            or self.models
            or self.added_paths
            or self.removed_paths
            or self.changed_files
        )

    @property
    def is_same(self) -> bool:
        """Whether nothing differs at all."""
        return self.is_same_input and not self.versions and not self.photos


def compare_runs(
    first: Run,
    first_records: Sequence[ImageRecord],
    second: Run,
    second_records: Sequence[ImageRecord],
) -> RunDiff:
    """Compares two runs with their results; photos are matched by path."""
    before = {record.path: record for record in first_records}
    after = {record.path: record for record in second_records}
    common = sorted(before.keys() & after.keys())
    models = [
        change
        for change in changes("", first.models, second.models)
        if FILE_SOURCES not in change.field.split(".")  # the digests say whether a file changed
    ]
    runtimes = [change for change in models if RUNTIME_VERSIONS in change.field.split(".")]
    selected_before = {path for path, record in before.items() if record.is_selected}
    selected_after = {path for path, record in after.items() if record.is_selected}
    return RunDiff(
        settings=tuple(changes("", first.config, second.config)),
        models=tuple(change for change in models if change not in runtimes),
        versions=(*changes("", first.versions, second.versions), *runtimes),
        added_paths=tuple(sorted(after.keys() - before.keys())),
        removed_paths=tuple(sorted(before.keys() - after.keys())),
        photos=tuple(
            change
            for path in common
            if before[path] != after[path]
            for change in changes(path, _comparable(before[path]), _comparable(after[path]))
        ),
        regroupings=tuple(regroupings(before, after)),
        gained_paths=tuple(sorted(selected_after - selected_before)),
        lost_paths=tuple(sorted(selected_before - selected_after)),
    )


def changes(subject: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """Yields every value that differs between two trees of values, ordered by name."""
    first, second = dict(_walk_leaves(before)), dict(_walk_leaves(after))
    for name in sorted(first.keys() | second.keys()):
        if first.get(name) != second.get(name):
            yield Change(subject, name, first.get(name), second.get(name))


def regroupings(
    before: Mapping[str, ImageRecord], after: Mapping[str, ImageRecord]
) -> Iterator[Regrouping]:
    """Yields the moments that differ between two runs, ordered by their photos."""
    common = [
        path
        for path in sorted(before.keys() & after.keys())
        if before[path].cluster_id is not None and after[path].cluster_id is not None
    ]
    first, second = (moments_of([run[path] for path in common]) for run in (before, after))
    seen: set[str] = set()
    for path in common:
        if path in seen:
            continue
        entangled = _find_entangled(path, first, second)
        seen |= entangled
        old, new = (_list_distinct(entangled, moments) for moments in (first, second))
        if old != new:
            yield Regrouping(old, new)


def _comparable(record: ImageRecord) -> dict[str, Any]:
    """Returns what a run found about a photo.

    Leaves out sidecars, which an export may have added; stars and label, which belong to the album;
    and the names of persons, which belong to all albums.
    """
    companions = [path for path in record.companion_paths if not is_sidecar(path)]
    values = {**dataclasses.asdict(record), "companion_paths": companions}
    del values["user_mark"], values["person_names"], values["face_people"]
    return values


def _walk_leaves(tree: object, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    if isinstance(tree, Mapping):
        items: list[tuple[object, object]] = list(tree.items())
    elif isinstance(tree, list | tuple):
        items = list(enumerate(tree))
    else:
        yield prefix, tree  # type: ignore[misc]
        return
    for name, value in items:
        yield from _walk_leaves(value, f"{prefix}.{name}" if prefix else str(name))


def _list_distinct(
    paths: set[str], moments: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    """Lists the distinct moments of photos, in order."""
    return tuple(sorted(moments[path] for path in paths if moments[path][0] == path))


def _find_entangled(
    path: str, first: Mapping[str, tuple[str, ...]], second: Mapping[str, tuple[str, ...]]
) -> set[str]:
    """Finds all photos connected to a photo through shared moments in either run."""
    found: set[str] = set()
    walked: set[int] = set()
    open_paths = [path]
    while open_paths:
        one = open_paths.pop()
        for moment in (first[one], second[one]):
            if id(moment) not in walked:  # once per moment, not once per photo
                walked.add(id(moment))
                open_paths += [other for other in moment if other not in found]
                found.update(moment)
    return found
