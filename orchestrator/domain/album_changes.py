"""Describes how an album's files have changed between two runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.domain.wording import pluralize


@dataclass(frozen=True, slots=True)
class AlbumChanges:
    """Numbers of photos by how they have changed.

    Attributes:
        added: New paths, excluding renamed files.
        changed: Paths whose content has changed.
        renamed: New paths whose content was at a path that no longer exists.
        removed: Paths that no longer exist, excluding renamed files.
    """

    added: int
    changed: int
    renamed: int
    removed: int


def find_album_changes(before: Mapping[str, str], after: Mapping[str, str]) -> AlbumChanges:
    """Compares two states of an album.

    Args:
        before: Content digests by path, in the earlier state.
        after: Content digests by path, in the later state.
    """
    new = Counter(after[path] for path in after.keys() - before.keys())
    gone = Counter(before[path] for path in before.keys() - after.keys())
    del new[""], gone[""]  # the content of unreadable files is unknown
    renamed = (new & gone).total()
    return AlbumChanges(
        added=len(after.keys() - before.keys()) - renamed,
        changed=sum(before[path] != after[path] for path in before.keys() & after.keys()),
        renamed=renamed,
        removed=len(before.keys() - after.keys()) - renamed,
    )


def describe_album_changes(changes: AlbumChanges, reused_count: int) -> str:
    """Summarizes what has changed since the last run; empty if nothing has.

    Args:
        changes: The changes.
        reused_count: Number of photos whose scores were all computed before.
    """
    counted = (
        (changes.added, "new"),
        (changes.changed, "changed"),
        (changes.renamed, "renamed"),
        (changes.removed, "gone"),
    )
    parts = [f"{count} {what}" for count, what in counted if count]
    if not parts:
        return ""
    reused = f"scores of {pluralize(reused_count, 'photo')} reused"
    return f"Since the last run: {', '.join(parts)}; {reused}."
