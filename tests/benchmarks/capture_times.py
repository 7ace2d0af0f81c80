"""Compares the capture times of real files with ExifTool's: `... capture_times FOLDER...`.

Sidecars and file names are ignored: bestshot's time must equal what ExifTool reads from the first
of `TAGS` that has a valid date. Every difference is listed with its reason. Times in other tags are
not capture times: they belong to the last change, the colour profile or the file system, or come
from a maker's own tag.
"""

from __future__ import annotations

import datetime
import json
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.metadata.reader import assemble_facts, read_metadata
from services.common.errors import InvalidImageError
from services.common.imaging.decode import decode
from services.common.suffixes import PHOTO_SUFFIXES

TAGS = (
    ("ExifIFD:DateTimeOriginal", "IFD0:DateTimeOriginal"),
    ("ExifIFD:CreateDate", "IFD0:CreateDate"),
    ("XMP-exif:DateTimeOriginal",),
    ("XMP-photoshop:DateCreated",),
    ("XMP-exif:DateTimeDigitized",),
    ("XMP-xmp:CreateDate",),
    ("IPTC:DateCreated",),
    ("PNG:CreationTime",),
    ("QuickTime:CreateDate",),
)
"""ExifTool's names for the tags, in order of priority."""
MAX_PIXELS = 10**9
IGNORED = ("System:", "ICC-header:", "Composite:", "SubSec", "GPS:", "ModifyDate", "MetadataDate")
"""Parts of the names of tags that have no capture time, or that repeat one from another tag."""


def main(folders: list[str]) -> None:
    """Prints the differences, and how long reading takes."""
    results, seconds = Counter[str](), []
    cameras: set[str] = set()
    for folder in folders:
        for path, stated in _read_by_exiftool(folder):
            content = path.read_bytes()
            began = time.perf_counter()
            metadata = read_metadata(content)
            seconds.append(time.perf_counter() - began)
            cameras.add(f"{metadata.camera_facts.make} {metadata.camera_facts.model}".strip())
            found = assemble_facts("", metadata, {})["capture_time"]
            result = _compare(found, stated)
            if result.startswith("DIFFERENT") and (problem := _find_problem(content)):
                result = f"unreadable: {problem}"
            results[result.partition(":")[0]] += 1
            if result not in ("same", "missing in both"):
                print(f"{path}: {result}")
    print(f"{sum(results.values())} files of {len(cameras - {''})} cameras")
    for result, count in results.most_common():
        print(f"{count:6} {result}")
    if seconds:
        slowest = max(seconds) * 1e3
        print(f"median {statistics.median(seconds) * 1e3:.2f} ms each, slowest {slowest:.2f} ms")


def _read_by_exiftool(folder: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Reads the times in the photos below a folder, by ExifTool's names."""
    command = ["exiftool", "-json", "-recurse", "-duplicates", "-groupNames1", "-time:all", folder]
    answer = subprocess.run(
        command, capture_output=True, check=False, text=True, errors="replace"
    ).stdout
    files: list[dict[str, Any]] = json.loads(answer or "[]")
    for stated in sorted(files, key=lambda stated: stated["SourceFile"]):
        path = Path(stated.pop("SourceFile"))
        if path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith("."):
            yield path, {name: str(value) for name, value in stated.items()}


def _find_problem(content: bytes) -> str:
    """Returns the reason why a file cannot be decoded; empty if it can."""
    try:
        decode(content, max_pixels=MAX_PIXELS)
    except InvalidImageError as error:
        return error.message
    return ""


def _compare(found: str, stated: dict[str, str]) -> str:
    """Returns the result for one file, with details after a colon."""
    for names in TAGS:
        text = next((stated[name] for name in names if name in stated), "")
        if names == ("IPTC:DateCreated",) and text:
            text = f"{text} {stated.get('IPTC:TimeCreated', '')}"
        if expected := _parse(text):
            is_same = found[: len(expected)] == expected
            return "same" if is_same else f"DIFFERENT: {names[0]} {text!r}, read {found!r}"
    if found:
        return f"ExifTool shows no capture time: read {found}"
    others = [
        f"{name} {value}"
        for name, value in stated.items()
        if not any(part in name for part in IGNORED) and _parse(value)
    ]
    if others:
        return f"only other times: {', '.join(others)}"
    unusable = [f"{name} {stated[name]!r}" for names in TAGS for name in names if name in stated]
    return f"an invalid date: {', '.join(unusable)}" if unusable else "missing in both"


def _parse(text: str) -> str:
    """Converts ExifTool's time to ISO 8601, without fraction and zone; empty if it is invalid."""
    without_zone = re.sub(r"(Z|[+-]\d\d:\d\d)$", "", text.strip())
    if not re.match(r"\s*\d{4}", text):  # a two-digit year is ambiguous
        return ""
    numbers = [int(number) for number in re.findall(r"\d+", without_zone)[:6]]
    try:
        if len(numbers) >= 5:
            return datetime.datetime(*numbers).isoformat()  # type: ignore[arg-type]
        return datetime.date(*numbers).isoformat() if len(numbers) == 3 else ""
    except (ValueError, TypeError):
        return ""


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit("usage: python -m tests.benchmarks.capture_times FOLDER...")
    main(sys.argv[1:])
