"""Finds a run's reference: the earlier run whose moments and picks it keeps where possible."""

from __future__ import annotations

from orchestrator.config import PipelineSettings
from orchestrator.domain.photo import Reason
from orchestrator.domain.stability import NO_REFERENCE, Reference
from orchestrator.records import Run, RunState
from orchestrator.runs.recorded_settings import read_settings
from orchestrator.storage.run_store import SqlRunStore

SEARCHED_COUNT = 20
"""Number of the album's newest runs to search for a reference."""
_OWN_PICKS = (
    Reason.SELECTED_BEST,
    Reason.SELECTED_DISTINCT,
    Reason.SELECTED_FOR_GOAL,
    Reason.KEPT_FROM_LAST_RUN,
)
"""Reasons for picks that were the algorithm's own."""


def find_reference(store: SqlRunStore, run: Run) -> str:
    """Finds the id of the newest completed run with the same models and grouping, if any."""
    settings = read_settings(run)
    if settings.select_best.stability_margin == 0:
        return ""
    for earlier in store.list_runs(run.album_id, SEARCHED_COUNT, 0):
        if (
            earlier.state is RunState.COMPLETED
            and _digests(earlier) == _digests(run)
            and _has_same_grouping(read_settings(earlier), settings)
        ):
            return earlier.id
    return ""


def read_reference(store: SqlRunStore, run: Run, settings: PipelineSettings) -> Reference:
    """Reads the parts of the run's reference that apply under `settings`.

    Moments are kept only under the same grouping, and picks only under the same selection:
    different settings are meant to change the result.
    """
    earlier = store.find_run(run.reference_run_id) if run.reference_run_id else None
    if earlier is None or settings.select_best.stability_margin == 0:
        return NO_REFERENCE
    then = read_settings(earlier)
    if not _has_same_grouping(then, settings):
        return NO_REFERENCE
    photos = store.moments_and_reasons(earlier.id)
    is_same_selection = (then.filter_quality, then.select_best) == (
        settings.filter_quality,
        settings.select_best,
    )
    return Reference(
        moments={digest: moment for digest, moment, _ in photos},
        picks=frozenset(
            digest for digest, _, reason in photos if is_same_selection and reason in _OWN_PICKS
        ),
    )


def _has_same_grouping(first: PipelineSettings, second: PipelineSettings) -> bool:
    return _grouping(first) == _grouping(second)


def _grouping(settings: PipelineSettings) -> tuple[object, ...]:
    return settings.cluster_scenes, settings.keep_sets, settings.people.split_moments


def _digests(run: Run) -> dict[str, str]:
    return {role: model["digest"] for role, model in run.models.items()}
