"""Pages of a run's photos, for the gallery and the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.client import Orchestrator

ALL = "all"
FILTERS: dict[str, tuple[str, pb.ImageFilter]] = {
    "selected": ("Selected", pb.IMAGE_FILTER_SELECTED),
    "not_selected": ("Not selected", pb.IMAGE_FILTER_NOT_SELECTED),
    "unreadable": ("Unreadable", pb.IMAGE_FILTER_UNREADABLE),
    "undecided": ("Undecided", pb.IMAGE_FILTER_UNDECIDED),
    "kept": ("Kept by me", pb.IMAGE_FILTER_KEPT),
    "rejected": ("Rejected by me", pb.IMAGE_FILTER_REJECTED),
    "soft": ("Soft", pb.IMAGE_FILTER_SOFT),
    "duplicate": ("Duplicates", pb.IMAGE_FILTER_DUPLICATE),
    "set": ("Sets", pb.IMAGE_FILTER_IN_SET),
    "noise": ("Single shots (noise)", pb.IMAGE_FILTER_NOISE),
    "faces": ("With faces", pb.IMAGE_FILTER_WITH_FACES),
    "eyes_closed": ("Eyes closed", pb.IMAGE_FILTER_EYES_CLOSED),
    "decided": ("Decided by me", pb.IMAGE_FILTER_DECIDED),
    "document": ("Documents", pb.IMAGE_FILTER_DOCUMENT),
    "screenshot": ("Screenshots and drawings", pb.IMAGE_FILTER_SCREENSHOT),
    "animation": ("Animations", pb.IMAGE_FILTER_ANIMATION),
    "blank": ("Blank", pb.IMAGE_FILTER_BLANK),
    "misfire": ("Misfires", pb.IMAGE_FILTER_MISFIRE),
}
"""Title and filter, by the key of the choice; ALL has none."""


@dataclass(frozen=True)
class ImagePage:
    """A page's photos and number (from 1), and the total counts of pages and photos."""

    images: list[pb.ImageResult]
    number: int
    page_count: int
    total_count: int


async def image_page(
    api: Orchestrator,
    run_id: str,
    number: int | None,
    page_size: int,
    *,
    filter_by: str,
    order_by: str,
    search: str = "",
    score_ranges: Sequence[pb.ScoreRange] = (),
) -> ImagePage:
    """Fetches a page; if the number is beyond the end, the last page."""
    number = max(1, int(number or 1))
    request = pb.ListImagesRequest(
        run_id=run_id,
        page_size=page_size,
        skip=(number - 1) * page_size,
        order_by=order_by,
        search=search,
        score_ranges=score_ranges,
        filters=[FILTERS[filter_by][1]] if filter_by in FILTERS else [],
    )
    answer = await api.call(api.stub.ListImages, request)
    page_count = max(1, -(-answer.total_count // page_size))
    if number > page_count:
        return await image_page(
            api,
            run_id,
            page_count,
            page_size,
            filter_by=filter_by,
            order_by=order_by,
            search=search,
            score_ranges=score_ranges,
        )
    return ImagePage(list(answer.images), number, page_count, answer.total_count)
