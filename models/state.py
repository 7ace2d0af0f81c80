"""Checks whether a model's files are present and intact."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from services.common.inference.registry import (
    ModelEntry,
    expected_digest,
    exported_files,
    file_digest,
    package_path,
    with_parts,
)


class State(StrEnum):
    """Whether a model can be served, from best to worst."""

    READY = "ready"
    MISSING = "missing"
    NOT_CONVERTED = "not converted"
    NOT_PINNED = "not pinned"
    DAMAGED = "damaged"


def state_of(models_folder: Path, models: Mapping[str, ModelEntry], model_id: str) -> State:
    """Checks and hashes the files of a model and its parts; returns the worst state."""
    parts = with_parts(models, model_id)
    return _worst(own_state(models_folder, part, models[part]) for part in parts)


def own_state(models_folder: Path, model_id: str, entry: ModelEntry) -> State:
    """Like `state_of`, without the parts."""
    folder = models_folder / model_id
    if entry.export is not None:
        exported = exported_files(models_folder, model_id, entry.export).values()
        if all(path.is_file() for path, _ in exported):
            return _worst(_file_state(path, pinned) for path, pinned in exported)
    files: list[tuple[Path, str | None]] = [
        (package_path(model_id, file), file.sha256) for file in entry.files.values()
    ]
    for key, download in entry.downloads.items():
        file = download.installed
        files.append((folder / file.name, expected_digest(models_folder, model_id, key, file)))
    state = _worst(_file_state(path, expected) for path, expected in files)
    return State.NOT_CONVERTED if entry.export is not None and state is State.READY else state


def _worst(states: Iterable[State]) -> State:
    found = {State.READY, *states}
    return next(state for state in reversed(State) if state in found)


def _file_state(path: Path, expected: str | None) -> State:
    if not os.path.lexists(path):
        return State.MISSING
    if not path.is_file():  # a pipe, a folder or a dangling link
        return State.DAMAGED
    if expected is None:
        return State.NOT_PINNED
    return State.READY if file_digest(path) == expected else State.DAMAGED
