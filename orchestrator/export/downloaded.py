"""An export source that downloads from a running orchestrator."""

from __future__ import annotations

import contextlib
import shutil
import time
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING

from orchestrator.export.download import DownloadFormat, read_skipped, zipped_records
from orchestrator.export.originals import CHANGED
from orchestrator.export.output_folder import TABLE_NAMES
from orchestrator.export.zip_names import zip_names
from orchestrator.records import Album, ImageRecord
from services.common.errors import InternalError, InvalidImageError
from services.common.platform.files import set_mode, set_modified
from services.common.temporary import temporary_file

if TYPE_CHECKING:
    from orchestrator.export.exporter import ExportOptions


class DownloadedSource:
    """Contents of the zips streamed by DownloadRun, each fetched when first needed.

    Args:
        album: The run's album.
        records: Its photos.
        fetch: Downloads one file of the run and returns it opened.
    """

    def __init__(
        self,
        album: Album,
        records: Sequence[ImageRecord],
        fetch: Callable[[DownloadFormat], IO[bytes]],
    ) -> None:
        self.album = album
        self.records = records
        self._fetch = fetch
        self._names: dict[DownloadFormat, Mapping[str, str]] = {}
        self._zips: dict[DownloadFormat, zipfile.ZipFile] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> DownloadedSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def tables(self) -> Mapping[str, bytes]:
        """Returns the contents of the files named by `TABLE_NAMES`, in that order."""
        return {name: self._read(DownloadFormat.RESULTS_ZIP, name) for name in TABLE_NAMES}

    def parquet(self) -> bytes:
        """Returns the content of image_metrics.parquet."""
        with self._fetch(DownloadFormat.PARQUET) as opened:
            return opened.read()

    def thumbnails(self, records: Mapping[str, ImageRecord]) -> Iterator[tuple[str, bytes]]:
        """Yields each name, which is a path below the folder, with the photo's thumbnail."""
        return ((name, self._read(DownloadFormat.RESULTS_ZIP, name)) for name in records)

    def find_changed(
        self, records: Sequence[ImageRecord], options: ExportOptions
    ) -> Collection[str]:
        """Finds changed photos in the lists of skipped files in the zips that this export needs."""
        zips = []
        if options.write_xmp:
            zips.append(DownloadFormat.XMP_ZIP)
        if options.transfer:
            zips.append(DownloadFormat.SELECTED_ZIP)
        skipped = {line for wanted in zips for line in read_skipped(self._zip(wanted))}
        return {record.path for record in records if f"{record.path}: {CHANGED}" in skipped}

    def open_photo(self, path: str) -> IO[bytes]:
        """Unpacks a selected photo or one of its companions into a temporary file.

        Raises:
            InvalidImageError: The orchestrator left the file out; the message says why.
        """
        archive = self._zip(DownloadFormat.SELECTED_ZIP)
        try:
            entry = archive.getinfo(self._name(DownloadFormat.SELECTED_ZIP, path))
        except KeyError:
            raise InvalidImageError(self._reason(path)) from None
        target = temporary_file()
        with archive.open(entry) as opened:
            shutil.copyfileobj(opened, target)
        target.seek(0)
        # The export copies times and permissions from the given file.
        modified = time.mktime((*entry.date_time, 0, 0, -1))
        set_modified(target.fileno(), target.name, modified)
        set_mode(target.fileno(), entry.external_attr >> 16 & 0o777)
        return target

    def sidecar(self, record: ImageRecord, sidecar_path: str) -> bytes:
        """Returns a photo's sidecar, merged with the one beside the photo."""
        name = self._name(DownloadFormat.XMP_ZIP, sidecar_path)
        return self._read(DownloadFormat.XMP_ZIP, name)

    def _name(self, wanted: DownloadFormat, path: str) -> str:
        if wanted not in self._names:
            self._names[wanted] = zip_names(zipped_records(self.records, wanted))
        return self._names[wanted].get(path, path)

    def _read(self, wanted: DownloadFormat, name: str) -> bytes:
        try:
            return self._zip(wanted).read(name)
        except (KeyError, zipfile.BadZipFile) as error:
            raise InternalError(
                f"the orchestrator's {wanted.value} has no usable {name}"
            ) from error

    def _zip(self, wanted: DownloadFormat) -> zipfile.ZipFile:
        if wanted not in self._zips:
            opened = self._stack.enter_context(self._fetch(wanted))
            try:
                archive = zipfile.ZipFile(opened)
            except zipfile.BadZipFile as error:
                raise InternalError(f"the orchestrator's {wanted.value} is damaged") from error
            self._zips[wanted] = self._stack.enter_context(archive)
        return self._zips[wanted]

    def _reason(self, path: str) -> str:
        for line in read_skipped(self._zip(DownloadFormat.SELECTED_ZIP)):
            if line.startswith(f"{path}: "):
                return line.removeprefix(f"{path}: ")
        return "the orchestrator did not send it"
