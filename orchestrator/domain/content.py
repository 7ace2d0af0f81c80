"""Classifies the picture in a file by a heuristic that uses its scores and metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.domain.photo import ContentClass, FileFacts, QualityScores

MIN_SIDE_PX = 16
"""A smaller picture is a spacer or a tracking pixel and counts as blank."""
PLAIN_LEVELS = 4
"""A picture without edges shows nothing if its luminance grid has at most this range: the cells
average out noise, and with a lens cap on they differ by one level."""
BLACK, BURNT = 0.06, 0.97
"""A plain frame is a misfire if its brightness is at most BLACK or, if a camera took it, at least
BURNT."""
FLAT_SHARE, DRAWN_RANGE = 0.8, 0.2
"""A picture counts as drawn if at least FLAT_SHARE of its pixels equal their surroundings and its
tonal range is at least DRAWN_RANGE: photos contain sensor noise, and compression flattens mainly
sky and shadows. The share is 0.93 in a generated chat screen, 0.66 in a portrait on white."""
PAPER_LEVEL, PAPER_SHARE = 0.75, 0.6
"""A page is at least PAPER_LEVEL times as bright as its brightest cell over at least PAPER_SHARE of
its area."""
PAPER_COLOUR = 0.15
"""Maximum colourfulness of a page of paper and print."""
PRINT_DETAIL, PRINT_SHARE = 6, 0.3
"""Minimum detail of a cell with print, and the minimum share of such cells on a page."""
PRINT_STEEPNESS = 0.5
"""Minimum focus score of a page: the edges of print are steep."""

Treatment = Literal["photo", "keep", "exclude"]


@dataclass(frozen=True, slots=True)
class ContentTreatment:
    """How to treat pictures that are not photos."""

    document: Treatment
    """how to treat pages of text: `photo` ranks them like photos, `keep` selects them all, and
    `exclude` never selects them. A heuristic recognizes them (`content_class`)"""
    screenshot: Treatment
    """how to treat screenshots and drawings: `photo`, `keep` or `exclude`"""
    animation: Treatment
    """how to treat pictures with several frames: `photo`, `keep` or `exclude`"""
    blank: Treatment
    """how to treat pictures that show nothing or are only a few pixels in size: `photo`, `keep` or
    `exclude`"""
    misfire: Treatment
    """how to treat frames that came out black or blown out, for example with the lens cap on:
    `photo`, `keep` or `exclude`"""

    def of(self, content: ContentClass) -> Treatment:
        """Returns how to treat a kind of picture."""
        if content is ContentClass.PHOTO:
            return "photo"
        treatment: Treatment = getattr(self, content.name.lower())
        return treatment


def classify(quality: QualityScores, file: FileFacts, *, is_animated: bool) -> ContentClass:
    """Classifies a picture; without evidence to the contrary it is a photo.

    Args:
        quality: Its scores; ignored if an older model did not measure all of them.
        file: What is known about its file.
        is_animated: Whether it has several frames.
    """
    if is_animated:
        return ContentClass.ANIMATION
    if 0 < max(file.width_px, file.height_px) < MIN_SIDE_PX:
        return ContentClass.BLANK
    if not quality.luminance_grid or quality.brightness is None or quality.flat_share is None:
        return ContentClass.PHOTO
    if _is_plain(quality):
        unexposed = quality.brightness <= BLACK or (file.has_camera and quality.brightness >= BURNT)
        return ContentClass.MISFIRE if unexposed else ContentClass.BLANK
    if file.has_camera:
        return ContentClass.DOCUMENT if _is_page(quality) else ContentClass.PHOTO
    if _is_page(quality):
        return ContentClass.DOCUMENT
    is_drawn = quality.flat_share >= FLAT_SHARE and (quality.tonal_range or 0) >= DRAWN_RANGE
    return ContentClass.SCREENSHOT if is_drawn else ContentClass.PHOTO


def _is_plain(quality: QualityScores) -> bool:
    spread = max(quality.luminance_grid) - min(quality.luminance_grid)
    return quality.focus_score == 0 and spread <= PLAIN_LEVELS


def _is_page(quality: QualityScores) -> bool:
    """Whether it is mostly bright paper covered with print."""
    paper = PAPER_LEVEL * max(quality.luminance_grid)
    bright = sum(level >= paper for level in quality.luminance_grid)
    printed = sum(detail >= PRINT_DETAIL for detail in quality.detail_grid)
    cells = len(quality.luminance_grid)
    return (
        quality.colourfulness <= PAPER_COLOUR
        and quality.focus_score >= PRINT_STEEPNESS
        and bright >= PAPER_SHARE * cells
        and printed >= PRINT_SHARE * cells
    )
