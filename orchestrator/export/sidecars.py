"""Names and writes the XMP sidecars of photos."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from orchestrator.export.face_regions import FaceRegions, find_regions
from orchestrator.export.files import replace_file
from orchestrator.export.output_folder import OutputFolder
from orchestrator.export.xmp import find_overruled, regions_in, sidecar
from orchestrator.metadata.sidecars import SIDECAR_LIMIT_BYTES
from orchestrator.records import ImageRecord
from orchestrator.storage.album_folders import AlbumFolders
from orchestrator.storage.companions import is_sidecar
from orchestrator.storage.containment import check_inside, open_inside
from services.common.errors import InvalidArgumentError

_SUFFIXES = (".xmp", ".XMP")


def sidecar_paths(records: Sequence[ImageRecord]) -> dict[str, tuple[str, ...]]:
    """Lists the paths of each photo's sidecars: those that the run found, otherwise a new one.

    A new one is named like the photo, with the suffix replaced, as in Adobe's programs. If the
    names of photos differ only in the suffix, ".xmp" is appended instead.
    """
    stems = Counter(PurePosixPath(record.path).with_suffix("") for record in records)
    names: dict[str, tuple[str, ...]] = {}
    for record in records:
        stem = PurePosixPath(record.path).with_suffix("")
        new = f"{stem}.xmp" if stems[stem] == 1 else f"{record.path}.xmp"
        names[record.path] = tuple(filter(is_sidecar, record.companion_paths)) or (new,)
    return names


def sidecars_beside(album: Path, record: ImageRecord, sidecar_paths: Sequence[str]) -> list[Path]:
    """Finds the sidecars that a photo has in its album now, including those of its RAW file.

    Args:
        album: Folder of the album.
        record: The photo.
        sidecar_paths: Paths of its sidecars, as returned by the function `sidecar_paths`.
    """
    stems = {
        record.path,
        *(path.rpartition(".")[0] for path in sidecar_paths),
        *(path for path in record.companion_paths if not is_sidecar(path)),
    }
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

    If the photo has several, the one at `sidecar_path` is used. A sidecar that is not XMP, or leads
    outside the album and the roots, is ignored.
    """
    same = album / sidecar_path
    regions = find_regions(album, record, roots)
    found = sidecars_beside(album, record, [sidecar_path])
    for place in sorted(found, key=lambda place: place != same):
        try:
            with open_inside(place, album, roots) as opened:
                return sidecar(record, _read_whole(opened), regions, is_copy=True)
        except (OSError, InvalidArgumentError):
            continue
    return sidecar(record, None, regions)


def merged_sidecar_of(
    folders: AlbumFolders, record: ImageRecord, sidecar_path: str, roots: Sequence[Path] = ()
) -> bytes:
    """Like `merged_sidecar`, for an album that may have several folders."""
    folder, within = folders.within(record)
    return merged_sidecar(folder, within, folders.locate(sidecar_path)[1], roots)


def stage_sidecars(
    records: Sequence[ImageRecord],
    output: OutputFolder,
    folder: str,
    make: Callable[[ImageRecord, str], bytes],
    left_out: Collection[str] = (),
) -> Iterator[str]:
    """Stages sidecars for a folder below an output folder; content from other programs is kept.

    Args:
        records: The photos.
        output: The output folder.
        folder: Name of the folder below it.
        make: Makes a photo's sidecar, given its path from `sidecar_paths`. If another program has
            changed the sidecar in the folder, only the face regions that `make` writes are used.
        left_out: Paths of photos that get no sidecar, but whose names affect other sidecars' names.

    Yields:
        Sidecars that could not be written, with reasons; existing files are left unchanged.
    """
    names = sidecar_paths(records)
    for record in records:
        if not record.is_readable or record.path in left_out:
            continue
        for own in names[record.path]:
            name = f"{folder}/{own}"
            place = output.path / name
            is_shared = output.is_shared(name)
            try:
                existing = output.read(name) if is_shared else None
            except OSError as error:  # unreadable, or a link, which may lead anywhere
                yield f"cannot write {place}: {error.strerror}"
                continue
            try:
                content = make(record, own)
                if existing is not None:
                    content = sidecar(record, existing, regions_in(content))
            except InvalidArgumentError as error:
                yield f"left {place} unchanged: {error.message}"
                continue
            output.stage(name, content, is_shared=is_shared)


def write_sidecars_beside(
    album: Path,
    records: Sequence[ImageRecord],
    left_out: Collection[str] = (),
    roots: Sequence[Path] = (),
) -> Iterator[str]:
    """Writes sidecars beside the photos themselves, merging into existing ones.

    Args:
        album: Folder of the album, or one of its folders.
        records: The photos in this folder, with paths relative to it.
        left_out: Paths of photos that get no sidecar, but whose names affect other sidecars' names.
        roots: Resolved folders that links to photos may lead into; links to sidecars may not.

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
        if record.is_readable and record.path not in left_out:
            existing = sidecars_beside(album, record, names[record.path])
            regions = find_regions(album, record, roots)
            for target in existing or [album / name for name in names[record.path]]:
                yield from _write_beside(target, album, record, regions)


def _write_beside(
    target: Path, album: Path, record: ImageRecord, regions: FaceRegions | None
) -> Iterator[str]:
    try:
        # Only below the album itself, not in the other roots, because a link may lead to a sidecar
        # that belongs to another photo.
        real = check_inside(target, album, ())
        if not os.path.lexists(real):
            replace_file(real, sidecar(record, None, regions))
            return
        with open_inside(real, album, ()) as opened:
            existing = _read_whole(opened)
        overruled = find_overruled(record, existing)
        replace_file(real, sidecar(record, existing, regions))
        if overruled:
            yield f"{target} keeps its {' and '.join(overruled)}, which another program set"
    except OSError as error:
        yield f"cannot write {target}: {error.strerror}"
    except InvalidArgumentError as error:
        yield f"left {target} unchanged: {error.message}"


def _read_whole(opened: IO[bytes]) -> bytes:
    content = opened.read(SIDECAR_LIMIT_BYTES + 1)
    if len(content) > SIDECAR_LIMIT_BYTES:
        raise InvalidArgumentError("", f"it is larger than {SIDECAR_LIMIT_BYTES:,} bytes")
    return content
