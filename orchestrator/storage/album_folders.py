"""Names the folders of an album, and finds the folder that a photo is in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orchestrator.ports import FileStamp, FoundPhotos, PhotoFile
from orchestrator.records import Album, ImageRecord
from orchestrator.storage.photo_source import FolderPhotoSource
from services.common.errors import InvalidArgumentError, UnavailableError
from services.common.imaging import decode as imaging
from services.common.imaging.decode import CanonicalImage


def name_folders(folders: Sequence[Path]) -> dict[str, Path]:
    """Chooses a name for each folder, as a prefix of its photos' paths; "" for a single folder.

    A name is the last part of a folder's path, or as many parts as it takes to tell the folders
    apart, joined by "_". If the names do not sort in the order of the folders, each name is
    prefixed with its folder's number. Ties between photos are broken by path, so the first folder's
    copy of a photo wins.
    """
    if len(folders) == 1:
        return {"": folders[0]}
    parts = [folder.parts[1:] or ("folder",) for folder in folders]
    names: list[str] = []
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["_".join(part[-depth:]) for part in parts]
        if len({name.casefold() for name in names}) == len(names):
            break
    paths = [f"{name}/" for name in names]
    if paths != sorted(set(paths)):
        width = len(str(len(names)))
        names = [f"{number:0{width}} {name}" for number, name in enumerate(names, start=1)]
    return dict(zip(names, folders, strict=True))


def check_apart(folders: Sequence[Path]) -> None:
    """Rejects folders that contain the same photos.

    Raises:
        InvalidArgumentError: A folder is given twice, or is inside another.
    """
    for number, inner in enumerate(folders):
        for outer in (*folders[:number], *folders[number + 1 :]):
            if inner.is_relative_to(outer):
                what = "is given twice" if inner == outer else f"is inside {outer}"
                raise InvalidArgumentError(
                    "folders", f"{inner} {what}; each photo must be in only one of the folders"
                )


class AlbumFolders:
    """Finds the files of an album's photos."""

    def __init__(self, album: Album) -> None:
        self.named: Mapping[str, Path] = name_folders([Path(folder) for folder in album.folders])

    def locate(self, path: str) -> tuple[Path, str]:
        """Returns the folder that a photo's path leads into, and its path within that folder.

        A path that begins with none of the names comes from another album, and is looked up in the
        first folder.
        """
        for name, folder in self.named.items():
            if not name or path.startswith(f"{name}/"):
                return folder, path[len(name) + 1 :] if name else path
        return next(iter(self.named.values())), path

    def place(self, path: str) -> Path:
        """Returns the full path of a photo's file."""
        folder, within = self.locate(path)
        return folder / within

    def within(self, record: ImageRecord) -> tuple[Path, ImageRecord]:
        """Returns the photo's folder, and the photo with paths relative to it."""
        folder, path = self.locate(record.path)
        companions = tuple(self.locate(other)[1] for other in record.companion_paths)
        return folder, dataclasses.replace(record, path=path, companion_paths=companions)


class AlbumPhotoSource:
    """The PhotoSource port for an album of several folders.

    Args:
        sources: Each folder's photo source, keyed by the folder's name from `name_folders`.
    """

    def __init__(self, sources: Mapping[str, FolderPhotoSource]) -> None:
        self._sources = sources

    def list_photos(self) -> list[PhotoFile]:
        """Finds the photos as `find_photos` does, without exclude patterns from the caller."""
        return self.find_photos().photos

    def find_photos(self, exclude: Sequence[str] = ()) -> FoundPhotos:
        """Finds the photos of all folders, ordered by path.

        Raises:
            InvalidArgumentError: A folder is missing or cannot be read, or none contains photos.
            UnavailableError: A folder disappears during the search.
        """
        photos: list[PhotoFile] = []
        notes: list[str] = []
        for name, source in self._sources.items():
            found = source.find_photos(exclude, may_be_empty=True)
            photos += [_with_prefix(f"{name}/", photo) for photo in found.photos]
            notes += [f"{name}: {note}" for note in found.notes]
        if not photos:
            raise InvalidArgumentError("folders", f"no photos found in {', '.join(self._sources)}")
        return FoundPhotos(sorted(photos, key=lambda photo: photo.path), tuple(notes))

    def size(self, path: str) -> int:
        """Returns the size of a photo in bytes; errors as for `FolderPhotoSource.size`."""
        source, within = self._find(path)
        return source.size(within)

    def read(self, path: str, size: int | None = None) -> bytes:
        """Reads a whole photo; arguments and errors as for `FolderPhotoSource.read`."""
        source, within = self._find(path)
        return source.read(within, size)

    def read_stamped(self, path: str, size: int) -> tuple[bytes, FileStamp | None]:
        """Like `FolderPhotoSource.read_stamped`."""
        source, within = self._find(path)
        return source.read_stamped(within, size)

    def stamps(self, paths: Sequence[str]) -> dict[str, FileStamp]:
        """Like `FolderPhotoSource.stamps`."""
        found = {}
        for name, source in self._sources.items():
            prefix = f"{name}/"
            inside = [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]
            found.update({prefix + path: stamp for path, stamp in source.stamps(inside).items()})
        return found

    def check_reachable(self) -> None:
        """Raises UnavailableError if one of the folders is gone."""
        for source in self._sources.values():
            source.check_reachable()

    def decode(
        self, content: bytes, long_side_px: int = imaging.CANONICAL_LONG_SIDE_PX
    ) -> CanonicalImage:
        """Decodes a photo."""
        return next(iter(self._sources.values())).decode(content, long_side_px)

    def _find(self, path: str) -> tuple[FolderPhotoSource, str]:
        for name, source in self._sources.items():
            if path.startswith(f"{name}/"):
                return source, path[len(name) + 1 :]
        raise UnavailableError(f"{path} is not in any of the album's folders")


def open_folders(
    folders: Sequence[Path], open_folder: Callable[[Path], FolderPhotoSource]
) -> FolderPhotoSource | AlbumPhotoSource:
    """Opens the photos of an album's folders.

    Args:
        folders: In order of preference.
        open_folder: Opens the photos of one folder.
    """
    sources = {name: open_folder(folder) for name, folder in name_folders(folders).items()}
    return sources[""] if len(sources) == 1 else AlbumPhotoSource(sources)


def _with_prefix(prefix: str, photo: PhotoFile) -> PhotoFile:
    return PhotoFile(
        prefix + photo.path,
        photo.size_bytes,
        tuple(prefix + path for path in photo.companion_paths),
        prefix + photo.version_of_path if photo.version_of_path else "",
    )


OpenSource = Callable[[Album], FolderPhotoSource | AlbumPhotoSource]
"""Opens the photos of an album."""
