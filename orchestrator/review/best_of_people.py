"""The best photo of each named person in a run."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.domain.photo import REJECTED
from orchestrator.records import ImageRecord


def find_best_of_people(records: Sequence[ImageRecord]) -> dict[str, ImageRecord]:
    """Maps each name to the photo with the highest composite score that shows the person.

    Rejected photos are left out. The names are in alphabetical order; of equally good photos, the
    first one is used.
    """
    found: dict[str, ImageRecord] = {}
    for record in records:
        if record.composite_score is None or record.reason_code in REJECTED:
            continue
        for name in record.person_names:
            best = found.get(name)
            if best is None or record.composite_score > (best.composite_score or 0.0):
                found[name] = record
    return dict(sorted(found.items()))
