"""Notifies watchers of an album's log of new entries."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from orchestrator.domain.decisions import DecisionEntry, find_origins
from orchestrator.domain.photo import Decision
from orchestrator.records import ImageRecord
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.run_store import SqlRunStore

POLL_S = 1.0
"""Interval at which a watcher looks for entries that other orchestrators have added."""


@dataclass(frozen=True)
class Addition:
    """Entries that were added to a log.

    Attributes:
        entries: Oldest first.
        entry_count: Number of entries in the log, including these.
        records: The photos in the watched run that the entries concern, with the rest of their
            moments.
        decisions: Current decisions on photos, by content digest.
    """

    entries: Sequence[DecisionEntry]
    entry_count: int
    records: Sequence[ImageRecord]
    decisions: dict[str, Decision]


class DecisionWatch:
    """Watches the logs of all albums.

    An entry that this process adds is reported once it has been applied to its run. Entries from
    other processes may not be applied yet, so they are reported one poll later. If an entry of this
    process takes longer than a poll to apply, its photos are reported again afterwards.
    """

    def __init__(self, store: SqlRunStore, log: SqlDecisionLog) -> None:
        self._store = store
        self._log = log
        self._changed = asyncio.Condition()
        self._change_count = 0

    async def publish(self) -> None:
        """Wakes the watchers after new entries in a log have been applied."""
        async with self._changed:
            self._change_count += 1
            self._changed.notify_all()

    async def watch(
        self, album_id: str, known_count: int | None, run_id: str
    ) -> AsyncIterator[Addition]:
        """Yields the entries after `known_count` at once, and then new ones as they are added.

        Args:
            album_id: The album.
            known_count: None = all entries so far.
            run_id: Run whose photos to report; empty = none.
        """
        change_count = self._change_count
        looked = seen = await asyncio.to_thread(self._log.count, album_id)
        known = seen if known_count is None else min(known_count, seen)
        yield await asyncio.to_thread(self._read, album_id, known, seen, run_id)
        published = seen  # entries that existed when a change was last published
        while True:
            is_published = await self._wait(change_count)
            change_count = self._change_count
            count = await asyncio.to_thread(self._log.count, album_id)
            ready, looked = (count if is_published else min(count, looked)), count
            first = min(published, seen) if is_published else seen
            if ready > first:
                yield await asyncio.to_thread(self._read, album_id, seen, ready, run_id, first)
                seen = ready
            published = count if is_published else published

    async def _wait(self, change_count: int) -> bool:
        """Waits for a change after `change_count`; False if it is time to look regardless."""
        async with self._changed:
            if self._change_count == change_count:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), POLL_S)
            return self._change_count != change_count

    def _read(
        self, album_id: str, known: int, count: int, run_id: str, first: int | None = None
    ) -> Addition:
        """Reads the entries after `known`, and the photos of the entries after `first`."""
        first = known if first is None else first
        if first >= count:
            return Addition([], count, [], {})
        log = self._log.entries(album_id)[:count]
        entries = log[known:]
        origins = find_origins(log)
        originals = [origins[entry.id][0] for entry in log[first:]]
        digests = sorted({digest for entry in originals for digest in entry.content_digests})
        records = self._store.clusters_of(run_id, digests) if run_id else []
        return Addition(entries, count, records, self._log.decisions(album_id))
