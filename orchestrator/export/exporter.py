"""Exports all files of a run into one folder."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from orchestrator.export.files import FileTransfer
from orchestrator.export.metrics_parquet import metrics_parquet
from orchestrator.export.originals import CHANGED, has_changed
from orchestrator.export.output_folder import (
    EXPORT_LOCK,
    PEOPLE_FOLDER,
    SELECTED_FOLDER,
    OutputFolder,
    open_output,
    translate_write_errors,
)
from orchestrator.export.result_files import tables, thumbnails_by_name
from orchestrator.export.sidecars import (
    merged_sidecar_of,
    sidecar_paths,
    stage_sidecars,
    write_sidecars_beside,
)
from orchestrator.export.zip_names import folder_names
from orchestrator.ports import FeatureCache
from orchestrator.records import Album, ImageRecord, Run, check_completed
from orchestrator.storage.album_folders import AlbumFolders
from orchestrator.storage.companions import is_sidecar
from orchestrator.storage.containment import open_inside
from orchestrator.viewing.pictures import read_thumbnails
from services.common.errors import FailedPreconditionError, InvalidImageError

XMP_FOLDER = "xmp"


class ExportSource(Protocol):
    """The contents of an export, local or remote.

    Attributes:
        album: The run's album.
        records: Its photos.
    """

    album: Album
    records: Sequence[ImageRecord]

    def tables(self) -> Mapping[str, bytes]:
        """Returns the contents of the files named by `TABLE_NAMES`, in that order."""
        ...

    def parquet(self) -> bytes:
        """Returns the content of image_metrics.parquet."""
        ...

    def thumbnails(self, records: Mapping[str, ImageRecord]) -> Iterator[tuple[str, bytes]]:
        """Yields each name, which is a path below the folder, with the photo's thumbnail."""
        ...

    def find_changed(
        self, records: Sequence[ImageRecord], options: ExportOptions
    ) -> Collection[str]:
        """Finds photos whose files have changed since they were scored; returns their paths."""
        ...

    def open_photo(self, path: str) -> IO[bytes]:
        """Opens a photo or one of its companions.

        Raises:
            InvalidImageError: The file is left out; the message says why.
            OSError: The file cannot be read.
        """
        ...

    def sidecar(self, record: ImageRecord, sidecar_path: str) -> bytes:
        """Returns a photo's sidecar, merged with the one beside the photo."""
        ...


@dataclass
class StoredSource:
    """The contents stored on this machine.

    Attributes:
        roots: Resolved folders that links in the album may point into.
    """

    album: Album
    run: Run
    records: Sequence[ImageRecord]
    cache: FeatureCache
    roots: Sequence[Path]

    def tables(self) -> Mapping[str, bytes]:
        """Renders the tables."""
        return tables(self.album, self.run, self.records)

    def parquet(self) -> bytes:
        """Renders the Parquet table."""
        return metrics_parquet(self.records)

    def thumbnails(self, records: Mapping[str, ImageRecord]) -> Iterator[tuple[str, bytes]]:
        """Reads the thumbnails from the cache."""
        return read_thumbnails(self.cache, records)

    def find_changed(
        self, records: Sequence[ImageRecord], options: ExportOptions
    ) -> Collection[str]:
        """Compares the photos' files with their digests."""
        folders = AlbumFolders(self.album)
        return {record.path for record in records if has_changed(folders, record, self.roots)}

    def open_photo(self, path: str) -> IO[bytes]:
        """Opens the file in the album."""
        photos, within = AlbumFolders(self.album).locate(path)
        return open_inside(photos / within, photos, self.roots)

    def sidecar(self, record: ImageRecord, sidecar_path: str) -> bytes:
        """Merges the sidecar with the one beside the photo."""
        return merged_sidecar_of(AlbumFolders(self.album), record, sidecar_path, self.roots)


@dataclass(frozen=True)
class ExportOptions:
    """Options for files in addition to the usual ones.

    Attributes:
        selected_transfer: How to put selected photos into `selected/`; None = not at all.
        write_xmp: Write sidecars to `xmp/`, and beside copied photos.
        write_xmp_beside_photos: Write sidecars into the album itself.
        write_parquet: Write image_metrics.parquet.
        force: Replace files that bestshot did not write, or that were changed afterwards.
        by_person: Also put selected photos into `people/NAME/`, a folder for each named person.
    """

    selected_transfer: FileTransfer | None = None
    write_xmp: bool = False
    write_xmp_beside_photos: bool = False
    write_parquet: bool = False
    force: bool = False
    by_person: bool = False

    @property
    def transfer(self) -> FileTransfer | None:
        """How to put selected photos into folders; None = not at all."""
        return self.selected_transfer or (FileTransfer.COPY if self.by_person else None)


@dataclass(frozen=True)
class Exported:
    """The written files.

    Attributes:
        paths: Files, relative to the folder.
        transferred_count: Photos copied or linked.
        warnings: Files that could not be written, with reasons.
        person_count: Persons who have a folder.
    """

    paths: list[str]
    transferred_count: int
    warnings: list[str]
    person_count: int = 0


def export_run(
    album: Album,
    run: Run,
    records: Sequence[ImageRecord],
    cache: FeatureCache,
    folder: Path,
    options: ExportOptions,
    *,
    other_albums: Iterable[Path] = (),
    roots: Sequence[Path] = (),
) -> Exported:
    """Writes image_metrics.csv, results.json, run.json, index.html, and the requested files.

    Args:
        album: The run's album.
        run: A completed run.
        records: Its photos.
        cache: Contains their thumbnails.
        folder: Created if missing.
        options: Other files to write.
        other_albums: Other folders that must not be written to.
        roots: Resolved folders that links in the album may point into.

    Raises:
        FailedPreconditionError: The run has not completed; for other causes, see `write_export`.
        InvalidArgumentError: See `write_export`.
    """
    check_completed(run, "exported")
    source = StoredSource(album, run, records, cache, roots)
    return write_export(source, folder, options, other_albums=other_albums, roots=roots)


def write_export(
    source: ExportSource,
    folder: Path,
    options: ExportOptions,
    *,
    other_albums: Iterable[Path] = (),
    roots: Sequence[Path] = (),
) -> Exported:
    """Writes the files of an export.

    Each file is replaced atomically, and if one cannot be written, the folder is unchanged. Photos
    that have changed since they were scored are not copied and get no sidecars; `Exported.warnings`
    names them.

    Args:
        source: Contents of the files. Links, and sidecars beside photos, need local photos.
        folder: Created if missing.
        options: Other files to write.
        other_albums: Other folders that must not be written to.
        roots: Resolved folders that links in the album may point into.

    Raises:
        FailedPreconditionError: Another export is writing to the folder, a selected photo cannot be
            read, Parquet cannot be written here, or nobody in the selected photos has a name.
        InvalidArgumentError: The folder is not writable; it is, contains or is inside an album; or
            files that bestshot did not write are in the way.
    """
    records = source.records
    photos_by_folder = _list_folders(records, options)
    folders = AlbumFolders(source.album)
    first, *others = folders.named.values()
    files = dict(source.tables())
    if options.write_parquet:
        files["image_metrics.parquet"] = source.parquet()
    warnings: list[str] = []
    with (
        open_output(folder, first, [*others, *other_albums], lock=EXPORT_LOCK) as output,
        translate_write_errors(output.path),
    ):
        changed = source.find_changed(_find_used(records, options), options)
        warnings += [f"skipped {folders.place(path)}: {CHANGED}" for path in sorted(changed)]
        files_by_folder = {
            target: _list_files(record for record in photos if record.path not in changed)
            for target, photos in photos_by_folder.items()
        }
        thumbnails = thumbnails_by_name(records)
        transferred = [
            f"{target}/{path}"
            for target, paths in files_by_folder.items()
            for path in paths
            if not is_sidecar(path)
        ]
        output.guard({folders.place(record.path).parent for record in records})
        written = []
        for name, content in source.thumbnails(thumbnails):
            if options.force or not output.is_current(name, content):
                output.stage(name, content)
                written.append(name)
        output.check_names([*files, *written, *transferred], force=options.force)
        for name, content in files.items():
            output.stage(name, content)
        for target, paths in files_by_folder.items():
            warnings += _stage_photos(source, target, paths, output, options, roots)
        warnings += _stage_xmp(source, photos_by_folder, changed, output, options)
        staged = {
            record.path
            for target, photos in photos_by_folder.items()
            for record in photos
            if output.has_staged(f"{target}/{record.path}")
        }
        warnings += output.commit(_stale(output, records, photos_by_folder))
    if options.write_xmp_beside_photos:
        located = [(folders.within(record), record.path in changed) for record in records]
        for place in folders.named.values():
            there = [(record, is_out) for (found, record), is_out in located if found == place]
            left_out = {record.path for record, is_out in there if is_out}
            inside = [record for record, _ in there]
            warnings += write_sidecars_beside(place, inside, left_out, roots)
    return Exported(
        paths=list(files),
        transferred_count=len(staged),
        warnings=list(dict.fromkeys(warnings)),  # a photo may be left out of several folders
        person_count=len(photos_by_folder.keys() - {SELECTED_FOLDER}),
    )


def _list_folders(
    records: Sequence[ImageRecord], options: ExportOptions
) -> dict[str, list[ImageRecord]]:
    """Maps each folder for selected photos to its photos."""
    selected = [record for record in records if record.is_selected]
    folders = {SELECTED_FOLDER: selected} if options.selected_transfer else {}
    if options.by_person:
        names = folder_names({name for record in selected for name in record.person_names})
        if not names:
            raise FailedPreconditionError(
                "no folders by person can be made, because nobody in the selected photos has a "
                "name: start a run with `--set people.enabled=true`, then name people in the "
                "People view or with `bestshot people name`"
            )
        for name, folder in names.items():
            shown = [record for record in selected if name in record.person_names]
            folders[f"{PEOPLE_FOLDER}/{folder}"] = shown
    return folders


def _find_used(records: Sequence[ImageRecord], options: ExportOptions) -> list[ImageRecord]:
    """Returns the photos that the export copies, links or writes sidecars for."""
    if options.write_xmp or options.write_xmp_beside_photos:
        return [record for record in records if record.is_readable]
    return [record for record in records if record.is_selected and options.transfer]


def _stage_xmp(
    source: ExportSource,
    photos_by_folder: Mapping[str, Sequence[ImageRecord]],
    changed: Collection[str],
    output: OutputFolder,
    options: ExportOptions,
) -> Iterator[str]:
    """Stages the requested sidecars; yields those that could not be written."""
    if options.write_xmp:
        yield from stage_sidecars(source.records, output, XMP_FOLDER, source.sidecar, changed)
        for folder, photos in photos_by_folder.items():
            yield from stage_sidecars(photos, output, folder, source.sidecar, changed)


def _list_files(records: Iterable[ImageRecord]) -> list[str]:
    """Lists the paths of photos and their companions."""
    return [path for record in records for path in (record.path, *record.companion_paths)]


def _stage_photos(
    source: ExportSource,
    target: str,
    paths: Sequence[str],
    output: OutputFolder,
    options: ExportOptions,
    roots: Sequence[Path],
) -> Iterator[str]:
    """Stages copies or links of photos; yields those left out, with reasons.

    A sidecar that another program has changed in the folder stays, because it holds somebody's
    edits; with `write_xmp`, sidecars are merged instead.
    """
    folders = AlbumFolders(source.album)
    digests = {record.path: record.content_digest for record in source.records}
    for path in paths:
        folder, within = folders.locate(path)
        place, name = folder / within, f"{target}/{path}"
        if is_sidecar(path) and (
            options.write_xmp or (output.is_shared(name) and not options.force)
        ):
            continue
        try:
            opened = source.open_photo(path)
        except InvalidImageError as error:
            yield f"skipped {place}: {error.message}"
            continue
        except OSError as error:
            if is_sidecar(path) and isinstance(error, FileNotFoundError):
                continue  # the file was removed after the run
            raise FailedPreconditionError(
                f"{path} can no longer be read: {error.strerror}"
            ) from error
        with opened:
            if options.transfer in (None, FileTransfer.COPY):
                copied = output.stage_copy(name, opened)
                if digests.get(path, copied) != copied:
                    raise FailedPreconditionError(f"{path} cannot be copied: {CHANGED}")
            else:
                output.stage_link(name, opened, place, options.transfer, [folder, *roots])


def _stale(
    output: OutputFolder,
    records: Sequence[ImageRecord],
    photos_by_folder: Mapping[str, Sequence[ImageRecord]],
) -> list[str]:
    """Finds files from earlier exports whose photos no longer belong in the folder."""
    names = sidecar_paths(records)
    current = {
        f"{folder}/{name}"
        for folder, photos in photos_by_folder.items()
        for path in _list_files(photos)
        for name in (path, *names.get(path, ()))
    }
    tops = {folder.partition("/")[0] for folder in photos_by_folder}
    return [name for top in tops for name in output.names_below(top) if name not in current]
