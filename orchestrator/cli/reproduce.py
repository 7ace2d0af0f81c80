"""`bestshot reproduce`: repeats a run from its photos and lists the differences."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from orchestrator.cli.api import Api, open_api
from orchestrator.cli.curate import Request, curate
from orchestrator.domain.decisions import DecidedPhoto, DecisionAction, DecisionEntry
from orchestrator.records import Album, ImageRecord, Run, check_completed, utc_now
from orchestrator.review.run_diff import Change, RunDiff, changes, compare_runs
from orchestrator.runs.recorded_settings import read_corrections
from orchestrator.runs.who_is_where import people_log
from orchestrator.storage.database import open_database
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.people_store import SqlPeople
from orchestrator.storage.run_store import SqlRunStore
from services.common.temporary import temporary_folder


@dataclass(frozen=True)
class Reproduction:
    """The result of repeating a run.

    Attributes:
        diff: Differences between the stored run and the new one, which uses the same settings.
        settings_now: Differences between the stored run's settings and the current settings, which
            were not used.
        decisions_now: Differences between the decisions and persons that the two runs used.
        photo_count: Number of photos in the stored run.
        cached_count: Number of photos in the second run whose scores were already cached by the
            served orchestrator.
    """

    diff: RunDiff
    settings_now: tuple[Change, ...]
    decisions_now: tuple[Change, ...]
    photo_count: int
    cached_count: int

    @property
    def is_same_input(self) -> bool:
        """Whether settings, models, files and decisions are the same; versions may differ."""
        return self.diff.is_same_input and not self.settings_now and not self.decisions_now


def reproduce(
    api: Api, run: Run, config_folder: Path, orchestrator: str | None, console: Console
) -> Reproduction:
    """Repeats a run from its photos and stored settings.

    Locally, this starts all services, uses an empty cache, and adds nothing to the store. A served
    orchestrator computes a new run of the same album, which it keeps.

    Args:
        api: API of the orchestrator that has the run.
        run: The run with all fields.
        config_folder: Config folder for started services.
        orchestrator: Address of the served orchestrator that `api` calls; None = `api` is local.
        console: Shows the progress.

    Raises:
        FailedPreconditionError: The run has no results to compare with.
        BestshotError: The run cannot be repeated, for example because its photos are gone.
    """
    check_completed(run, "reproduced")
    album = api.album(run.album_id)
    records = api.images(run.id)
    stored = {key: value for key, value in run.config.items() if key != "resolved"}
    with temporary_folder("bestshot-reproduce-") as folder:
        data = folder / "data"
        data.mkdir()
        settings = folder / "settings.yaml"
        settings.write_text(yaml.safe_dump(stored))
        if orchestrator is None:
            _prepare(data, album, run, records, _find_reference(api, run))
        again = curate(
            Request(
                photos=[Path(folder) for folder in album.folders],
                out=None,
                config_folder=config_folder,
                data_folder=data,
                profile=run.profile,
                config_files=[settings],
                flags=[],
                copy_selected=False,
                orchestrator=orchestrator,
                album_id="" if orchestrator is None else album.id,
                reference_run_id=run.reference_run_id,
            ),
            console,
        )
        with _open_second_api(api, data, config_folder) as second_api:
            second = second_api.run(again.id)
            second_records = second_api.images(again.id)
    return Reproduction(
        diff=compare_runs(run, records, second, second_records),
        settings_now=tuple(changes("", stored, api.settings(run.profile))),
        decisions_now=(
            *_diff_decisions(run, second, records),
            *changes("", {"persons": run.persons}, {"persons": second.persons}),
        ),
        photo_count=len(records),
        cached_count=second.summary.cached_count if second.summary else 0,
    )


@contextlib.contextmanager
def _open_second_api(api: Api, data: Path, config_folder: Path) -> Iterator[Api]:
    """Opens the API of the orchestrator that has the second run."""
    if api.is_served:
        yield api
        return
    with open_api(None, data, config_folder=config_folder) as second:
        yield second


def _diff_decisions(first: Run, second: Run, records: list[ImageRecord]) -> tuple[Change, ...]:
    """Lists differences between the decisions of two runs on photos in the first run."""
    found = [
        Change(record.path, "decision", before, after)
        for record in records
        if (before := first.decisions.get(record.content_digest))
        != (after := second.decisions.get(record.content_digest))
    ]
    corrections = changes(
        "", {"corrections": first.corrections}, {"corrections": second.corrections}
    )
    return (*found, *corrections)


def _find_reference(api: Api, run: Run) -> tuple[Run, list[ImageRecord]] | None:
    if not run.reference_run_id:
        return None
    return api.run(run.reference_run_id), api.images(run.reference_run_id)


def _prepare(
    data: Path,
    album: Album,
    run: Run,
    records: list[ImageRecord],
    reference: tuple[Run, list[ImageRecord]] | None,
) -> None:
    """Creates a database with the album, its decisions and persons, and the run's reference."""
    engine = open_database(data)
    store = SqlRunStore(engine)
    store.add_album(album)
    if reference is not None:
        store.save_results(*reference)
    SqlDecisionLog(engine).append(album.id, _log(run))
    people = SqlPeople(engine)
    for entry in people_log(run, records):
        people.append(entry)
    engine.dispose()


def _log(run: Run) -> list[DecisionEntry]:
    """Builds a log equivalent to a run's recorded decisions."""
    decided = [
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
        for number, correction in enumerate(read_corrections(run))
    ]
    return [*decided, *corrections]
