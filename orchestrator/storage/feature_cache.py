"""The FeatureCache port in SQL: computed features, keyed by content."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Engine, Select, bindparam, delete, or_, select

from orchestrator.features import is_finite
from orchestrator.metrics import RunMetrics
from orchestrator.storage.database import insert
from orchestrator.storage.tables import features
from services.common.errors import NonFiniteError
from services.common.imaging.decode import CANONICAL_VERSION, CANONICAL_VERSIONS

Key = tuple[str, str, str]
_COLUMNS = (features.c.content_digest, features.c.role, features.c.model_digest)


def add_features(connection: Connection, entries: Mapping[Key, bytes]) -> None:
    """Stores one or more payloads; existing ones are kept.

    Raises:
        NonFiniteError: A payload contains a number that is not finite; nothing is stored.
    """
    for (digest, role, _), payload in entries.items():
        if not is_finite(role, payload):
            raise NonFiniteError(
                f"the {role} scores of the photo {digest} contain a number that is not finite"
            )
    rows = [
        {
            "content_digest": content_digest,
            "role": role,
            "model_digest": model_digest,
            "canonical_version": CANONICAL_VERSION,
            "payload": payload,
        }
        # in order, so that two orchestrators cannot deadlock on each other's rows
        for (content_digest, role, model_digest), payload in sorted(entries.items())
    ]
    connection.execute(insert(connection, features).on_conflict_do_nothing(), rows)


class SqlFeatureCache:
    """Features keyed by content, role, model and canonicalisation version.

    Args:
        engine: The database.
        metrics: Counts every lookup.
    """

    def __init__(self, engine: Engine, metrics: RunMetrics) -> None:
        self._engine = engine
        self._metrics = metrics

    def get(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        """Returns the stored payloads for the newest version of the canonical image.

        A payload that contains NaN or infinity, which version 0.1.0 could store, is removed and
        counts as missing, so it is computed again.
        """
        wanted = set(keys)
        if not wanted:
            return {}
        # ordered, so that the newest one wins
        query = _select(wanted, features.c.payload).order_by(features.c.canonical_version)
        with self._engine.connect() as connection:
            rows = connection.execute(query)
            found = {key: row[3] for row in rows if (key := (row[0], row[1], row[2])) in wanted}
        poisoned = [key for key, payload in found.items() if not is_finite(key[1], payload)]
        if poisoned:
            self._remove(poisoned)
            found = {key: found[key] for key in found.keys() - set(poisoned)}
        for key in keys:
            self._metrics.cache_lookup(key[1], is_hit=key in found)
        return found

    def find(self, keys: Sequence[Key]) -> set[Key]:
        """Returns the keys that have a payload, without reading it."""
        wanted = set(keys)
        if not wanted:
            return wanted
        with self._engine.connect() as connection:
            found = {(row[0], row[1], row[2]) for row in connection.execute(_select(wanted))}
        for key in keys:
            self._metrics.cache_lookup(key[1], is_hit=key in found)
        return found & wanted

    def put(self, entries: Mapping[Key, bytes]) -> None:
        """Stores payloads in one transaction; existing ones are kept.

        Raises:
            NonFiniteError: A payload contains a number that is not finite; nothing is stored.
        """
        if entries:
            with self._engine.begin() as connection:
                add_features(connection, entries)

    def _remove(self, keys: Sequence[Key]) -> None:
        one = delete(features).where(
            *(column == bindparam(f"key_{part}") for part, column in enumerate(_COLUMNS)),
            features.c.canonical_version.in_(CANONICAL_VERSIONS),
        )
        rows = [{f"key_{part}": value for part, value in enumerate(key)} for key in keys]
        with self._engine.begin() as connection:
            connection.execute(one, rows)


def _select(keys: Collection[Key], *payload: Column[Any]) -> Select[Any]:
    """Builds a query that finds the entries with the given keys, and possibly others.

    It lists digests, not whole keys: SQLite reads the whole table for a list of tuples.
    """
    kinds = {(role, model) for _, role, model in keys}
    return select(*_COLUMNS, *payload).where(
        features.c.content_digest.in_({digest for digest, _, _ in keys}),
        or_(
            *(
                (features.c.role == role) & (features.c.model_digest == model)
                for role, model in sorted(kinds)
            )
        ),
        features.c.canonical_version.in_(CANONICAL_VERSIONS),
    )
