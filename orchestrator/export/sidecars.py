"""Which XMP sidecar belongs to which photo, and writing them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from orchestrator.export.files import replace_file
from orchestrator.export.xmp import sidecar
from orchestrator.results import ImageRecord
from services.common.errors import InvalidArgumentError

_SUFFIXES = (".xmp", ".XMP")


def sidecar_paths(records: Sequence[ImageRecord]) -> dict[str, str]:
    """Path of each photo's sidecar: its suffix replaced, as Adobe's programs name it.

    Photos that differ in nothing but the suffix keep it before that of the sidecar.
    """
    stems = Counter(PurePosixPath(record.path).with_suffix("") for record in records)
    return {
        record.path: f"{stem}.xmp" if stems[stem] == 1 else f"{record.path}.xmp"
        for record in records
        for stem in [PurePosixPath(record.path).with_suffix("")]
    }


def sidecars_beside(album: Path, record: ImageRecord, sidecar_path: str) -> list[Path]:
    """The sidecars that a photo has in its album: by its whole name, or by its stem alone.

    Args:
        album: Folder of the album.
        record: The photo.
        sidecar_path: What `sidecar_paths` names its sidecar.
    """
    stems = {record.path, sidecar_path.rpartition(".")[0]}
    places = [album / f"{stem}{suffix}" for stem in sorted(stems) for suffix in _SUFFIXES]
    found: list[Path] = []
    for place in places:
        if os.path.isfile(place) and not any(place.samefile(other) for other in found):
            found.append(place)
    return found


def merged_sidecar(album: Path, record: ImageRecord, sidecar_path: str) -> bytes:
    """A photo's sidecar for another place, with what the one beside the photo has.

    One that is no XMP is left out: it stays where it is.
    """
    for place in sidecars_beside(album, record, sidecar_path):
        try:
            return sidecar(record, place.read_bytes())
        except (OSError, InvalidArgumentError):
            continue
    return sidecar(record)


def write_sidecars(album: Path, records: Sequence[ImageRecord], folder: Path) -> Iterator[str]:
    """Writes sidecars into a folder; those that are there are merged into.

    Yields:
        What could not be written, and why; the sidecar there stays as it is.
    """
    names = sidecar_paths(records)
    for record in records:
        if record.is_readable:
            target = folder / names[record.path]
            initial = partial(merged_sidecar, album, record, names[record.path])
            yield from _write(target, record, initial)


def write_sidecars_beside(album: Path, records: Sequence[ImageRecord]) -> Iterator[str]:
    """Writes sidecars beside the photos themselves; merges into those that are there.

    Yields:
        As `write_sidecars`; of an album that may not be written to, that alone.
    """
    if not os.access(album, os.W_OK):
        yield f"no sidecar is written beside the photos: {album} is read-only"
        return
    names = sidecar_paths(records)
    for record in records:
        if record.is_readable:
            existing = sidecars_beside(album, record, names[record.path])
            for target in existing or [album / names[record.path]]:
                yield from _write(target, record, partial(sidecar, record))


def _write(target: Path, record: ImageRecord, initial: Callable[[], bytes]) -> Iterator[str]:
    try:
        content = sidecar(record, target.read_bytes()) if target.exists() else initial()
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, content)
    except OSError as error:
        yield f"{target} cannot be written: {error.strerror}"
    except InvalidArgumentError as error:
        yield f"{target} is left as it is: {error.message}"
