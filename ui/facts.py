"""Describes what is known about a photo besides its scores, in photographers' terms."""

from __future__ import annotations

from collections.abc import Iterator

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb


def fact_lines(image: pb.ImageResult, *, is_brief: bool = False) -> list[str]:
    """Describes when and how a photo was taken, its size and its owner's rating, where known.

    Args:
        image: The photo.
        is_brief: Mention where the time comes from only if the camera did not write it.
    """
    is_sure = image.capture_time_source.startswith("EXIF")
    source = "" if is_brief and is_sure else image.capture_time_source
    return [line for line in (_capture_time(image, source), *_lines(image)) if line]


def _lines(image: pb.ImageResult) -> Iterator[str]:
    yield _camera(image)
    yield _exposure(image)
    yield _series(image.camera_facts)
    yield _size(image)
    yield _owner_mark(image.owner_mark)
    if image.moment_people:
        yield f"part of a moment that was split according to who is in it: {image.moment_people}"
    if image.brought_in_for:
        yield f"picked for {' and '.join(image.brought_in_for)}"


def _capture_time(image: pb.ImageResult, source: str) -> str:
    if not image.capture_time:
        return ""
    seconds, point, fraction = image.capture_time.partition(".")
    time = f"{seconds}{point}{fraction[:2]}".replace("T", " ")  # some cameras write microseconds
    return " ".join(filter(None, [time, image.capture_utc_offset, source and f"({source})"]))


def _camera(image: pb.ImageResult) -> str:
    facts = image.camera_facts
    brand = facts.make.partition(" ")[0]  # "NIKON CORPORATION" makes the "NIKON D200"
    has_brand = facts.model.lower().startswith(brand.lower())
    name = facts.model if has_brand else f"{facts.make} {facts.model}"
    return ", ".join(filter(None, [name.strip(), facts.lens]))


def _exposure(image: pb.ImageResult) -> str:
    flash = "flash" if image.camera_facts.is_flash_fired else ""
    return ", ".join(filter(None, [image.exposure_caption, flash]))


def _series(facts: pb.CameraFacts) -> str:
    """Describes the burst or bracket; empty for a single shot."""
    parts = []
    if facts.bracket_mode not in ("", "none"):
        parts.append(f"{facts.bracket_mode} bracket")
    elif facts.exposure_mode == "auto bracket":
        parts.append("exposure bracket")
    if facts.drive_mode == "continuous" or facts.burst_id:
        parts.append("burst")
    if parts and facts.HasField("sequence_number"):
        parts.append(f"shot {facts.sequence_number}")
    return ", ".join(parts)


def _size(image: pb.ImageResult) -> str:
    size = image.size_bytes
    parts = [f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"]
    if image.megapixels:
        parts.insert(0, f"{image.width_px} x {image.height_px} ({image.megapixels:.1f} MP)")
    if image.camera_facts.has_video:
        parts.append("with a short video")
    if image.camera_facts.has_gps:
        parts.append("GPS position")
    return ", ".join(parts)


def _owner_mark(mark: pb.OwnerMark) -> str:
    parts = []
    if mark.HasField("rating"):
        parts.append(f"rated {mark.rating}")
    if mark.pick:
        parts.append(f"flagged as {mark.pick}")
    if mark.label:
        parts.append(f"labelled {mark.label}")
    return f"{', '.join(parts)} in {mark.source}" if parts else ""
