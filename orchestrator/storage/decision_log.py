"""Append-only decision logs in SQL; `orchestrator.runs.worker` applies them to a run."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from orchestrator.domain.decisions import (
    DecidedPhoto,
    DecisionAction,
    DecisionEntry,
    LogChecker,
    decisions_in,
    marks_in,
)
from orchestrator.domain.photo import Decision, UserMark
from orchestrator.records import Album
from orchestrator.storage.album_folders import AlbumFolders
from orchestrator.storage.answers import earlier_change, record_change
from orchestrator.storage.rows import album_from_row, utc
from orchestrator.storage.tables import albums, decision_log, decisions, user_marks
from services.common.errors import InvalidArgumentError, NotFoundError


class SqlDecisionLog:
    """The logs of all albums."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def entries(self, album_id: str) -> list[DecisionEntry]:
        """Returns an album's log, oldest first."""
        with self._engine.connect() as connection:
            return _entries(connection, album_id)

    def count(self, album_id: str) -> int:
        """Counts the entries in an album's log."""
        query = select(func.max(decision_log.c.sequence)).where(decision_log.c.album_id == album_id)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one() or 0

    def find(self, album_id: str, entry_id: str) -> DecisionEntry | None:
        """Finds an entry in an album's log; None if it is not there."""
        query = select(decision_log).where(
            decision_log.c.album_id == album_id, decision_log.c.id == entry_id
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return _entry(row) if row is not None else None

    def decisions(self, album_id: str) -> dict[str, Decision]:
        """Returns the current decisions on single photos, keyed by content digest."""
        query = select(decisions.c.content_digest, decisions.c.decision).where(
            decisions.c.album_id == album_id
        )
        with self._engine.connect() as connection:
            return {row[0]: Decision(row[1]) for row in connection.execute(query)}

    def append(self, album_id: str, entries: Sequence[DecisionEntry]) -> int:
        """Adds all entries or none, skipping those that are already in the log.

        Returns:
            Number of entries added; for a repeated request, the number added by its first attempt.

        Raises:
            InvalidArgumentError: An entry is not valid at its position, or the log has a
                different entry with the same id.
            NotFoundError: There is no such album.
        """
        with self._engine.begin() as connection:
            _lock(connection, album_id)
            earlier = earlier_change(connection)
            if earlier is not None:
                return int(earlier["added_count"])
            log = _entries(connection, album_id)
            count = len(log)
            known = {entry.id: entry for entry in log}
            checker = LogChecker(log)
            for number, entry in enumerate(entries, start=1):
                if known.get(entry.id) == entry:
                    continue
                problem = checker.find_fault(entry)
                if entry.id in known:
                    problem = f"the log already has an entry {entry.id!r} with different content"
                if problem:
                    where = f"entry {number} of {len(entries)}: " if len(entries) > 1 else ""
                    raise InvalidArgumentError("entries", f"{where}{problem}")
                log.append(entry)
                known[entry.id] = entry
                checker.add(entry)
            rows = [
                _values(album_id, sequence, entry)
                for sequence, entry in enumerate(log[count:], start=count + 1)
            ]
            if rows:
                connection.execute(insert(decision_log), rows)
                _write_decisions(connection, album_id, log, log[count:])
            record_change(connection, added_count=len(rows))
        return len(rows)


def carry_decisions(connection: Connection, album: Album) -> None:
    """Starts a new album's log with the decisions of the albums that share a folder with it.

    Entries that concern no photo in a shared folder are left out. Entries from several logs are
    ordered by time. Each entry is copied unchanged, so a log exported from another album can still
    be imported.
    """
    timed: list[tuple[datetime.datetime, DecisionEntry]] = []
    for row in connection.execute(select(albums).where(albums.c.id != album.id)):
        other = album_from_row(row)
        if set(album.folders) & set(other.folders):
            # An imported entry may be older than the entry before it; keep the order of the log.
            latest = datetime.datetime.min.replace(tzinfo=datetime.UTC)
            for entry in _collect_shared_entries(connection, other, album):
                latest = max(latest, entry.create_time)
                timed.append((latest, entry))
    log: list[DecisionEntry] = []
    ids: set[str] = set()
    checker = LogChecker()
    for _, entry in sorted(timed, key=lambda pair: pair[0]):
        if entry.id not in ids and not checker.find_fault(entry):
            log.append(entry)
            ids.add(entry.id)
            checker.add(entry)
    if log:
        rows = [_values(album.id, sequence, entry) for sequence, entry in enumerate(log, start=1)]
        connection.execute(insert(decision_log), rows)
        _write_decisions(connection, album.id, log, log)


def _collect_shared_entries(
    connection: Connection, source: Album, album: Album
) -> Iterator[DecisionEntry]:
    """Yields the entries of one album's log that concern photos in another album's folders."""
    folders = AlbumFolders(source)
    shared = {Path(folder) for folder in album.folders}
    ids: set[str] = set()
    for entry in _entries(connection, source.id):
        if entry.undone_id in ids or any(
            folders.locate(photo.path)[0] in shared for photo in entry.photos
        ):
            ids.add(entry.id)
            yield entry


def _lock(connection: Connection, album_id: str) -> None:
    """Blocks concurrent additions: takes SQLite's write lock or PostgreSQL's row lock."""
    held = update(albums).where(albums.c.id == album_id).values(id=album_id)
    if connection.execute(held).rowcount == 0:
        raise NotFoundError("album", album_id)


def _write_decisions(
    connection: Connection,
    album_id: str,
    log: Sequence[DecisionEntry],
    added: Iterable[DecisionEntry],
) -> None:
    """Updates the tables of decisions and of stars and labels from the log."""
    _write_marks(connection, album_id, marks_in(log))
    stored = {
        row.content_digest: row.decision
        for row in connection.execute(select(decisions).where(decisions.c.album_id == album_id))
    }
    wanted = {digest: decision.value for digest, decision in decisions_in(log).items()}
    times = {digest: entry.create_time for entry in added for digest in entry.content_digests}
    changed = {digest for digest, _ in stored.items() ^ wanted.items()}
    for digest in sorted(changed & stored.keys()):
        key = (decisions.c.album_id == album_id) & (decisions.c.content_digest == digest)
        connection.execute(delete(decisions).where(key))
    latest = log[-1].create_time
    rows = [
        {
            "album_id": album_id,
            "content_digest": digest,
            "decision": wanted[digest],
            "create_time": times.get(digest, latest),
        }
        for digest in sorted(changed & wanted.keys())
    ]
    if rows:
        connection.execute(insert(decisions), rows)


def _write_marks(connection: Connection, album_id: str, wanted: Mapping[str, UserMark]) -> None:
    stored = {
        row.content_digest: UserMark(row.stars, row.label)
        for row in connection.execute(select(user_marks).where(user_marks.c.album_id == album_id))
    }
    changed = {digest for digest, _ in stored.items() ^ wanted.items()}
    for digest in sorted(changed & stored.keys()):
        key = (user_marks.c.album_id == album_id) & (user_marks.c.content_digest == digest)
        connection.execute(delete(user_marks).where(key))
    rows = [
        {"album_id": album_id, "content_digest": digest, **dataclasses.asdict(wanted[digest])}
        for digest in sorted(changed & wanted.keys())
    ]
    if rows:
        connection.execute(insert(user_marks), rows)


def _entries(connection: Connection, album_id: str) -> list[DecisionEntry]:
    query = select(decision_log).where(decision_log.c.album_id == album_id)
    return [_entry(row) for row in connection.execute(query.order_by(decision_log.c.sequence))]


def _entry(row: Row[Any]) -> DecisionEntry:
    time = utc(row.create_time)
    assert time is not None
    return DecisionEntry(
        id=row.id,
        action=DecisionAction(row.action),
        photos=tuple(DecidedPhoto(**photo) for photo in row.photos),
        create_time=time,
        target=DecidedPhoto(**row.target) if row.target else None,
        undone_id=row.undone_id,
        decided_by=row.decided_by,
        stars=row.stars,
        label=row.label,
        run_id=row.run_id,
    )


def _values(album_id: str, sequence: int, entry: DecisionEntry) -> dict[str, Any]:
    values = dataclasses.asdict(entry)
    return {
        **values,
        "album_id": album_id,
        "sequence": sequence,
        "action": entry.action.value,
        "photos": list(values["photos"]),
    }
