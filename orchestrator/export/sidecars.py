"""Names and writes the XMP sidecars of photos."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from orchestrator.export.files import replace_file
from orchestrator.export.output_folder import OutputFolder
from orchestrator.export.xmp import sidecar
from orchestrator.records import ImageRecord
from orchestrator.storage.containment import check_inside, open_inside
from services.common.errors import InvalidArgumentError

SIDECAR_LIMIT_BYTES = 16_000_000
_SUFFIXES = (".xmp", ".XMP")


def sidecar_paths(records: Sequence[ImageRecord]) -> dict[str, str]:
    """Path of each photo's sidecar: the photo's path with the suffix replaced, as Adobe does.

    If the names of photos differ only in the suffix, the sidecar's suffix is appended instead.
    """
    stems = Counter(PurePosixPath(record.path).with_suffix("") for record in records)
    return {
        record.path: f"{stem}.xmp" if stems[stem] == 1 else f"{record.path}.xmp"
        for record in records
        for stem in [PurePosixPath(record.path).with_suffix("")]
    }


def sidecars_beside(album: Path, record: ImageRecord, sidecar_path: str) -> list[Path]:
    """Finds a photo's sidecars in its album, named after its full file name or only its stem.

    Args:
        album: Folder of the album.
        record: The photo.
        sidecar_path: Its path from `sidecar_paths`.
    """
    stems = {record.path, sidecar_path.rpartition(".")[0]}
    places = [album / f"{stem}{suffix}" for stem in sorted(stems) for suffix in _SUFFIXES]
    found: list[Path] = []
    for place in places:
        if os.path.isfile(place) and not any(place.samefile(other) for other in found):
            found.append(place)
    return found


def merged_sidecar(
    album: Path, record: ImageRecord, sidecar_path: str, roots: Sequence[Path] = ()
) -> bytes:
    """Makes a photo's sidecar for another folder, merged with the one beside the photo.

    An existing one that is not XMP, or leads outside the album and the roots, is ignored.
    """
    for place in sidecars_beside(album, record, sidecar_path):
        try:
            with open_inside(place, album, roots) as opened:
                return sidecar(record, _read_whole(opened))
        except (OSError, InvalidArgumentError):
            continue
    return sidecar(record)


def stage_sidecars(
    records: Sequence[ImageRecord],
    output: OutputFolder,
    folder: str,
    make: Callable[[ImageRecord, str], bytes],
) -> Iterator[str]:
    """Stages sidecars for a folder below an output folder, merging into existing ones.

    Args:
        records: The photos.
        output: The output folder.
        folder: Name of the folder below it.
        make: Makes the sidecar of a photo that does not have one there yet, given its path from
            `sidecar_paths`.

    Yields:
        Sidecars that could not be written, with reasons; existing files are left unchanged.
    """
    names = sidecar_paths(records)
    for record in records:
        if record.is_readable:
            own = names[record.path]
            name = f"{folder}/{own}"
            place = output.path / name
            try:
                existing = output.read(name)
            except OSError as error:  # unreadable, or a link, which may lead anywhere
                yield f"cannot write {place}: {error.strerror}"
                continue
            try:
                content = make(record, own) if existing is None else sidecar(record, existing)
            except InvalidArgumentError as error:
                yield f"left {place} unchanged: {error.message}"
                continue
            output.stage(name, content, is_shared=existing is not None and output.is_shared(name))


def write_sidecars_beside(album: Path, records: Sequence[ImageRecord]) -> Iterator[str]:
    """Writes sidecars beside the photos themselves, merging into existing ones.

    Yields:
        Sidecars that could not be written, with reasons; one message if the whole album is not
        writable.
    """
    if os.path.realpath(album) != str(album):
        yield f"wrote no sidecars beside the photos: {album} is reached through a symbolic link"
        return
    if not os.access(album, os.W_OK):
        yield f"wrote no sidecars beside the photos: {album} is read-only"
        return
    names = sidecar_paths(records)
    for record in records:
        if record.is_readable:
            existing = sidecars_beside(album, record, names[record.path])
            for target in existing or [album / names[record.path]]:
                yield from _write_beside(target, album, record)


def _write_beside(target: Path, album: Path, record: ImageRecord) -> Iterator[str]:
    try:
        # Only below the album itself, not in the other roots, because a link may lead to a sidecar
        # that belongs to another photo.
        real = check_inside(target, album, ())
        if not os.path.lexists(real):
            replace_file(real, sidecar(record))
            return
        with open_inside(real, album, ()) as opened:
            existing = _read_whole(opened)
        replace_file(real, sidecar(record, existing))
    except OSError as error:
        yield f"cannot write {target}: {error.strerror}"
    except InvalidArgumentError as error:
        yield f"left {target} unchanged: {error.message}"


def _read_whole(opened: IO[bytes]) -> bytes:
    content = opened.read(SIDECAR_LIMIT_BYTES + 1)
    if len(content) > SIDECAR_LIMIT_BYTES:
        raise InvalidArgumentError("", f"it is larger than {SIDECAR_LIMIT_BYTES:,} bytes")
    return content
