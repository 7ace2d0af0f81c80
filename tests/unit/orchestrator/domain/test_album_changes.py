from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.album_changes import (
    AlbumChanges,
    describe_album_changes,
    find_album_changes,
)


def test_new_changed_renamed_and_gone_photos_are_distinguished() -> None:
    before = {"a": "1", "b": "2", "c": "3", "d": "4", "torn": "", "e": "5"}
    after = {"a": "1", "b": "9", "moved/c": "3", "copy of a": "1", "torn 2": "", "f": "6"}
    changes = find_album_changes(before, after)
    assert changes == AlbumChanges(added=3, changed=1, renamed=1, removed=3)
    assert describe_album_changes(changes, 2) == (
        "Since the last run: 3 new, 1 changed, 1 renamed, 3 gone; scores of 2 photos reused."
    )


def test_an_unchanged_album_has_no_note() -> None:
    assert describe_album_changes(find_album_changes({"a": "1"}, {"a": "1"}), 1) == ""


albums = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["", "1", "2", "3"]))


@given(albums, albums)
def test_the_numbers_add_up(before: dict[str, str], after: dict[str, str]) -> None:
    found = find_album_changes(before, after)
    assert len(before) - found.removed + found.added == len(after)
    back = find_album_changes(after, before)
    assert (back.added, back.removed) == (found.removed, found.added)
    assert (back.changed, back.renamed) == (found.changed, found.renamed)
