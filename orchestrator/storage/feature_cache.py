"""What was computed, kept by content: the FeatureCache port on SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, select

from orchestrator.metrics import RunMetrics
from orchestrator.storage.database import insert
from orchestrator.storage.tables import features
from services.common.imaging import CANONICAL_VERSION

Key = tuple[str, str, str]


class SqlFeatureCache:
    """Features keyed by content, role, model and canonicalisation version.

    Args:
        engine: Of the database.
        metrics: Told of every lookup.
    """

    def __init__(self, engine: Engine, metrics: RunMetrics) -> None:
        self._engine = engine
        self._metrics = metrics

    def get(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        """Returns the payloads that are there."""
        columns = (features.c.content_digest, features.c.role, features.c.model_digest)
        # one list a column: SQLite reads the whole table for a list of tuples
        query = select(*columns, features.c.payload).where(
            *(column.in_({key[part] for key in keys}) for part, column in enumerate(columns)),
            features.c.canonical_version == CANONICAL_VERSION,
        )
        wanted = set(keys)
        with self._engine.connect() as connection:
            rows = connection.execute(query)
            found = {key: row[3] for row in rows if (key := (row[0], row[1], row[2])) in wanted}
        for key in keys:
            self._metrics.cache_lookup(key[1], is_hit=key in found)
        return found

    def put(self, entries: Mapping[Key, bytes]) -> None:
        """Stores payloads in one transaction; what is there already stays."""
        if not entries:
            return
        rows = [
            {
                "content_digest": content_digest,
                "role": role,
                "model_digest": model_digest,
                "canonical_version": CANONICAL_VERSION,
                "payload": payload,
            }
            # in order, lest two orchestrators wait for each other's rows
            for (content_digest, role, model_digest), payload in sorted(entries.items())
        ]
        with self._engine.begin() as connection:
            connection.execute(insert(connection, features).on_conflict_do_nothing(), rows)
