"""Tells what kind of picture a file holds, by a heuristic on its scores and its metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.domain.photo import ContentClass, FileFacts, QualityScores

MIN_SIDE_PX = 16
"""A smaller picture is a spacer or a tracking pixel, and counts as blank."""
PLAIN_LEVELS = 4
"""Range of the luminance grid up to which a picture without edges shows nothing: its cells average
noise out, and a lens cap's differ by one level."""
BLACK, BURNT = 0.06, 0.97
"""Brightness up to which, and from which on, a plain frame of a camera was not exposed."""
FLAT_SHARE, DRAWN_RANGE = 0.8, 0.2
"""Share of pixels without any change around them, and tonal range, from which on a picture was
drawn: sensors leave noise, and what compression flattens is mostly sky or darkness. A made screen
of a chat has 0.93, a portrait on white 0.66."""
PAPER_LEVEL, PAPER_SHARE = 0.75, 0.6
"""A page is at least this bright, relative to its brightest cell, in at least this share of it."""
PAPER_COLOUR = 0.15
"""Colourfulness up to which a page is paper and print."""
PRINT_DETAIL, PRINT_SHARE = 6, 0.3
"""Detail of a cell with print, and the share of a page that has it."""
PRINT_STEEPNESS = 0.5
"""Focus from which on edges are those of print."""

Treatment = Literal["photo", "keep", "exclude"]


@dataclass(frozen=True, slots=True)
class ContentTreatment:
    """What becomes of pictures that are not photos: judged as photos, all kept, or kept out."""

    document: Treatment
    """pages of text: `photo`, judge them as photos; `keep`, select them all; `exclude`, keep them
    out of the picks. The kind is a heuristic (`content_class`)"""
    screenshot: Treatment
    """likewise pictures of screens, and drawings"""
    animation: Treatment
    """likewise pictures of several frames"""
    blank: Treatment
    """likewise pictures that show nothing, or are a few pixels large"""
    misfire: Treatment
    """likewise frames that came out black or burnt out, as with the lens cap on"""

    def of(self, content: ContentClass) -> Treatment:
        """The treatment of a kind."""
        if content is ContentClass.PHOTO:
            return "photo"
        treatment: Treatment = getattr(self, content.name.lower())
        return treatment


def classify(quality: QualityScores, file: FileFacts, *, is_animated: bool) -> ContentClass:
    """Tells the kind of a picture; a photo where nothing says otherwise.

    Args:
        quality: Its scores; what older models did not measure says nothing.
        file: What is known of its file.
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
    """Whether it is mostly bright paper with print all over it."""
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
