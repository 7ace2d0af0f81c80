"""Remembers the status of files whose content was hashed, so that they need not be read again."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, bindparam, delete, select

from orchestrator.ports import FileStamp
from orchestrator.storage.database import insert
from orchestrator.storage.tables import file_stamps


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file as it was when it was hashed."""

    stamp: FileStamp
    content_digest: str


class SqlFileStamps:
    """The hashed files of albums.

    Args:
        engine: The database.
        now_ns: Returns the time.
    """

    def __init__(self, engine: Engine, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._engine = engine
        self.now_ns = now_ns

    def find(self, album_id: str) -> dict[str, HashedFile]:
        """Returns an album's hashed files by path."""
        columns = file_stamps.c.path, file_stamps.c.stamp, file_stamps.c.content_digest
        query = select(*columns).where(file_stamps.c.album_id == album_id)
        with self._engine.connect() as connection:
            return {
                path: HashedFile(FileStamp(*map(int, stamp.split())), digest)
                for path, stamp, digest in connection.execute(query)
            }

    def replace(self, album_id: str, changes: Mapping[str, HashedFile | None]) -> None:
        """Replaces what is known about some of an album's files; None forgets a file."""
        # in order, so that two orchestrators cannot deadlock on each other's rows
        paths = sorted(changes)
        rows = [
            {
                "album_id": album_id,
                "path": path,
                "stamp": " ".join(map(str, dataclasses.astuple(found.stamp))),
                "content_digest": found.content_digest,
            }
            for path in paths
            if (found := changes[path]) is not None
        ]
        if not paths:
            return
        gone = [{"gone": path} for path in paths if changes[path] is None]
        with self._engine.begin() as connection:
            if gone:
                one = (file_stamps.c.album_id == album_id) & (
                    file_stamps.c.path == bindparam("gone")
                )
                connection.execute(delete(file_stamps).where(one), gone)
            if rows:
                new = insert(connection, file_stamps)
                values = {name: new.excluded[name] for name in ("stamp", "content_digest")}
                keys = ("album_id", "path")
                stored = new.on_conflict_do_update(index_elements=keys, set_=values)
                connection.execute(stored, rows)
