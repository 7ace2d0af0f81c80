"""`bestshot reproduce`: a run computed again from its photos, and what is different then."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from orchestrator.cli.curate import Request, curate
from orchestrator.config import PipelineConfig
from orchestrator.domain.decisions import DecidedPhoto, DecisionAction, DecisionEntry
from orchestrator.records import Album, ImageRecord, Run, check_completed, utc_now
from orchestrator.review.run_diff import Change, RunDiff, changes, compare_runs
from orchestrator.runs.recorded_settings import stored_corrections
from orchestrator.storage.database import open_database
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.run_store import SqlRunStore


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    Attributes:
        diff: From the stored run to the one computed now, under the stored run's own settings.
        settings_now: How the settings in force now differ from the stored run's; those were not
            used.
        photo_count: Photos of the stored run.
    """

    diff: RunDiff
    settings_now: tuple[Change, ...]
    photo_count: int

    @property
    def is_same_input(self) -> bool:
        """Whether settings, models and files are what they were; versions may differ."""
        return self.diff.is_same_input and not self.settings_now


def reproduce(store: SqlRunStore, run: Run, config_folder: Path, console: Console) -> Reproduction:
    """Computes a run again from nothing but its photos and what was stored of it.

    All services are started anew; nothing comes from the cache, nothing is added to the store.

    Raises:
        FailedPreconditionError: The run has no results to compare with.
        BestshotError: It cannot be computed, as where its photos are gone.
    """
    check_completed(run, "reproduced")
    album = store.album(run.album_id)
    records = store.images(run.id)
    stored = {key: value for key, value in run.config.items() if key != "resolved"}
    with tempfile.TemporaryDirectory(prefix="bestshot-reproduce-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        settings = Path(folder) / "settings.yaml"
        settings.write_text(yaml.safe_dump(stored))
        _prepare(data, album, run)
        again = curate(
            Request(
                photos=Path(album.folder),
                out=None,
                config_folder=config_folder,
                data_folder=data,
                profile=run.profile,
                config_files=[settings],
                flags=[],
                copy_selected=False,
                orchestrator=None,
            ),
            console,
        )
        second, second_records = _results(data, again.id)
    in_force = PipelineConfig(config_folder, run.profile).load().model_dump(mode="json")
    return Reproduction(
        diff=compare_runs(run, records, second, second_records),
        settings_now=tuple(changes("", stored, in_force)),
        photo_count=len(records),
    )


def _prepare(data: Path, album: Album, run: Run) -> None:
    """Makes a database that knows of the album and of what was decided, and of nothing else."""
    engine = open_database(data)
    SqlRunStore(engine).add_album(album)
    SqlDecisionLog(engine).append(album.id, _log(run))
    engine.dispose()


def _log(run: Run) -> list[DecisionEntry]:
    """A log that comes to what a run recorded."""
    wishes = [
        DecisionEntry(digest, DecisionAction(value), (DecidedPhoto(digest, ""),), utc_now())
        for digest, value in run.decisions.items()
    ]
    corrections = [
        DecisionEntry(
            f"correction {number}",
            correction.action,
            tuple(DecidedPhoto(digest, "") for digest in correction.content_digests),
            utc_now(),
            DecidedPhoto(correction.target_digest, "") if correction.target_digest else None,
        )
        for number, correction in enumerate(stored_corrections(run))
    ]
    return [*wishes, *corrections]


def _results(data: Path, run_id: str) -> tuple[Run, list[ImageRecord]]:
    engine = open_database(data)
    store = SqlRunStore(engine)
    found = store.run(run_id), store.images(run_id)
    engine.dispose()
    return found
