from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.domain.decisions import (
    ANSWERS,
    CORRECTIONS,
    DecisionAction,
    DecisionEntry,
    LogChecker,
    answers_in,
    correct_moments,
    corrections_in,
    decisions_in,
    find_in_force,
    find_last_undoable,
    marks_in,
)
from orchestrator.domain.photo import ColourLabel, UserMark
from orchestrator.export.decisions_json import decisions_json, parse_decisions
from services.common.errors import InvalidArgumentError
from tests.unit.values import entry

Labels = np.typing.NDArray[np.int64]
DIGESTS = tuple("abcdef09")
LABELS = np.array([0, 0, 0, 1, 1, -1, -1, 2, 2])
FILES = (*DIGESTS, "9")
"""Contents of the files in LABELS; the last two are copies."""


def find_fault(one: DecisionEntry, earlier: Sequence[DecisionEntry]) -> str:
    return LogChecker(earlier).find_fault(one)


@st.composite
def decided(draw: st.DrawFn, name: str) -> DecisionEntry:
    """An entry that is not an undo."""
    action = draw(
        st.sampled_from([one for one in DecisionAction if one is not DecisionAction.UNDO])
    )
    fewest = 2 if action in (DecisionAction.MERGE, *ANSWERS) else 1
    most = 2 if action in ANSWERS else 3
    photos = draw(st.lists(st.sampled_from(DIGESTS), min_size=fewest, max_size=most, unique=True))
    target = ""
    if action is DecisionAction.MOVE:
        target = draw(st.sampled_from([digest for digest in DIGESTS if digest not in photos]))
    stars = draw(st.integers(0, 5)) if action is DecisionAction.RATE else 0
    label = draw(st.sampled_from(["", *ColourLabel])) if action is DecisionAction.LABEL else ""
    return entry(name, action, *photos, target=target, stars=stars, label=str(label))


@st.composite
def logs(draw: st.DrawFn) -> list[DecisionEntry]:
    """Valid logs, with undos and undos of undos."""
    log: list[DecisionEntry] = []
    for number in range(draw(st.integers(0, 12))):
        counting = find_in_force(log)
        if counting and draw(st.integers(0, 2)) == 0:
            undone = draw(st.sampled_from(counting))
            log.append(entry(str(number), DecisionAction.UNDO, undone_id=undone.id))
        else:
            log.append(draw(decided(str(number))))
    return log


def state(log: Sequence[DecisionEntry]) -> tuple[dict[str, object], dict[str, UserMark], list[int]]:
    labels = correct_moments(LABELS, FILES, corrections_in(log))
    return dict(decisions_in(log)), marks_in(log), labels.tolist()


@given(logs())
def test_every_log_is_valid_and_undone_entries_have_no_effect(
    log: list[DecisionEntry],
) -> None:
    assert [find_fault(one, log[:index]) for index, one in enumerate(log)] == [""] * len(log)
    counting = [one for one in find_in_force(log) if one.action is not DecisionAction.UNDO]
    assert state(log) == state(counting)


@given(logs(), st.data())
def test_an_undo_may_come_any_time_after_its_entry(
    log: list[DecisionEntry], data: st.DataObject
) -> None:
    named = {one.undone_id for one in log}
    undoable = [index for index, one in enumerate(log) if one.id not in named]
    assume(undoable)
    index = data.draw(st.sampled_from(undoable))
    undo = entry("undo", DecisionAction.UNDO, undone_id=log[index].id)
    place = data.draw(st.integers(index + 1, len(log)))
    without = [*log[:index], *log[index + 1 :]]
    assert state([*log[:place], undo, *log[place:]]) == state([*log, undo])
    if log[index].action is not DecisionAction.UNDO:
        assert state([*log, undo]) == state(without)


@given(logs(), st.data())
def test_the_order_of_unrelated_decisions_does_not_matter(
    log: list[DecisionEntry], data: st.DataObject
) -> None:
    """Swaps adjacent entries if neither undoes the other and they have no moment in common."""
    first, second = data.draw(decided("x")), data.draw(decided("y"))
    assume(not touched(log, first) & touched(log, second))
    assert state([*log, first, second]) == state([*log, second, first])
    undo = entry("undo", DecisionAction.UNDO, undone_id="x")
    assert state([*log, first, second, undo]) == state([*log, first, undo, second])


@given(logs())
def test_undoing_everything_restores_the_algorithms_result(log: list[DecisionEntry]) -> None:
    number = 0
    while (last := find_last_undoable(log)) is not None:
        log.append(entry(f"undo {number}", DecisionAction.UNDO, undone_id=last.id))
        number += 1
    assert state(log) == ({}, {}, LABELS.tolist())


def touched(log: Sequence[DecisionEntry], one: DecisionEntry) -> set[str]:
    """Returns the photos that an entry affects; for corrections, all photos of their moments."""
    digests = {*one.content_digests, *([one.target.content_digest] if one.target else [])}
    if one.action not in CORRECTIONS:
        return {f"decision on {digest}" for digest in digests}
    labels = correct_moments(LABELS, FILES, corrections_in(log))
    numbers = {labels[index] for index, file in enumerate(FILES) if file in digests}
    together = {file for file, label in zip(FILES, labels, strict=True) if label in numbers - {-1}}
    return digests | together


def moments(*corrections: DecisionEntry) -> list[str]:
    labels = correct_moments(
        np.array([0, 0, 0, 1, 1, -1, -1]), tuple("abcdefg"), corrections_in(corrections)
    )
    found: dict[int, str] = {}
    for digest, label in zip("abcdefg", labels, strict=True):
        if label >= 0:
            found[int(label)] = found.get(int(label), "") + digest
    return [found[label] for label in sorted(found)]


def test_moments_are_corrected_and_numbered_by_their_first_photo() -> None:
    assert moments() == ["abc", "de"]
    assert moments(entry("1", DecisionAction.MOVE, "a", target="d")) == ["ade", "bc"]
    assert moments(entry("1", DecisionAction.MOVE, "f", target="g")) == ["abc", "de", "fg"]
    assert moments(entry("1", DecisionAction.SPLIT, "a", "b")) == ["ab", "de"]
    assert moments(entry("1", DecisionAction.SPLIT, "d")) == ["abc"]
    assert moments(entry("1", DecisionAction.MERGE, "c", "e")) == ["abcde"]
    assert moments(entry("1", DecisionAction.MERGE, "c", "g")) == ["abcg", "de"]
    unknown = entry("1", DecisionAction.MOVE, "a", target="not in this run")
    assert moments(unknown, entry("2", DecisionAction.SPLIT, "neither")) == ["abc", "de"]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (entry("2", DecisionAction.KEEP), "keep needs at least 1 photo"),
        (entry("2", DecisionAction.MERGE, "a", "a"), "merge needs at least 2 photos"),
        (entry("2", DecisionAction.MOVE, "a"), "needs a target"),
        (entry("2", DecisionAction.KEEP, "a", target="b"), "keep takes no target"),
        (entry("2", DecisionAction.MOVE, "a", target="a"), "its own moment"),
        (entry("2", DecisionAction.UNDO, undone_id="2"), "no earlier entry '2'"),
        (entry("2", DecisionAction.UNDO, "a", undone_id="1"), "takes no photos"),
        (entry("2", DecisionAction.KEEP, "a", undone_id="1"), "keep takes no undone_id"),
        (entry("2", DecisionAction.RATE, "a", stars=6), r"stars must be 0 to 5 (got 6)"),
        (entry("2", DecisionAction.KEEP, "a", stars=1), "keep takes no stars"),
        (entry("2", DecisionAction.LABEL, "a", label="Rot"), "red, yellow, green, blue"),
        (entry("2", DecisionAction.RATE, "a", label="red"), "rate takes no label"),
        (entry("2", DecisionAction.PREFER, "a", "a"), "needs two different photos (got 1)"),
        (entry("2", DecisionAction.UNSURE, "a", "b", "c"), "needs two different photos (got 3)"),
        (
            dataclasses.replace(entry("2", DecisionAction.KEEP, "a"), run_id="r"),
            "keep takes no run_id",
        ),
    ],
)
def test_an_invalid_entry_is_reported(wrong: DecisionEntry, problem: str) -> None:
    assert problem in find_fault(wrong, [entry("1", DecisionAction.KEEP, "a")])


def test_stars_and_labels_are_independent_of_each_other_and_of_decisions() -> None:
    log = [
        entry("1", DecisionAction.REJECT, "a"),
        entry("2", DecisionAction.RATE, "a", "b", stars=4),
        entry("3", DecisionAction.LABEL, "a", label="blue"),
        entry("4", DecisionAction.CLEAR, "a"),
        entry("5", DecisionAction.RATE, "b"),
    ]
    assert marks_in(log) == {"a": UserMark(4, "blue")}
    assert decisions_in(log) == {}


def test_of_the_answers_about_a_pair_the_last_one_in_force_counts() -> None:
    first = entry("1", DecisionAction.PREFER, "a", "b")
    second = entry("2", DecisionAction.PREFER, "b", "a")
    other = entry("3", DecisionAction.UNSURE, "a", "c")
    log = [first, second, other]
    assert answers_in(log) == [second, other]
    log.append(entry("4", DecisionAction.UNDO, undone_id="2"))
    assert answers_in(log) == [first, other]
    assert decisions_in(log) == {}


def test_an_undone_entry_cannot_be_undone_again_but_its_undo_can() -> None:
    log = [entry("1", DecisionAction.KEEP, "a"), entry("2", DecisionAction.UNDO, undone_id="1")]
    assert "already undone" in find_fault(entry("3", DecisionAction.UNDO, undone_id="1"), log)
    redo = entry("3", DecisionAction.UNDO, undone_id="2")
    assert find_fault(redo, log) == ""
    assert state([*log, redo]) == state(log[:1])


@given(logs())
def test_a_log_is_written_and_read_without_loss(log: list[DecisionEntry]) -> None:
    whole = [with_whole_digests(one) for one in log]
    assert parse_decisions(decisions_json(whole)) == whole


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "the file is not valid JSON"),
        ('{"entries": [{}]}', r"entries.0.id is missing"),
        ('{"entries": [], "more": 1}', "more is unknown"),
    ],
)
def test_a_file_without_decisions_is_reported(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        parse_decisions(text)


def with_whole_digests(one: DecisionEntry) -> DecisionEntry:
    """Returns the entry with digests of realistic length."""

    photos = tuple(
        dataclasses.replace(photo, content_digest=photo.content_digest * 64) for photo in one.photos
    )
    target = one.target
    if target:
        target = dataclasses.replace(target, content_digest=target.content_digest * 64)
    return dataclasses.replace(one, photos=photos, target=target)


@given(logs(), st.integers(0, 13))
def test_the_checker_agrees_with_the_entries_in_force(log: list[DecisionEntry], of: int) -> None:
    problem = find_fault(entry("new", DecisionAction.UNDO, undone_id=str(of)), log)
    assert (problem == "") == (str(of) in {one.id for one in find_in_force(log)})


@pytest.mark.parametrize("year", ["0001", "1969", "3000", "9999"])
def test_a_time_out_of_range_is_refused_with_the_number_of_its_entry(year: str) -> None:
    good = decisions_json([entry("a", DecisionAction.KEEP, "a" * 64)] * 2)
    place = good.rindex("2026-05-17")
    bad = good[:place] + good[place:].replace(
        "2026-05-17T10:00:00+00:00", f"{year}-01-01T00:00:00+14:00"
    )
    with pytest.raises(InvalidArgumentError, match=f"entry 2 of 2: create_time .*got {int(year)}"):
        parse_decisions(bad)
    late = dataclasses.replace(
        entry("a", DecisionAction.KEEP, "a"),
        create_time=datetime.datetime(int(year), 1, 1, tzinfo=datetime.UTC),
    )
    assert "create_time must be" in find_fault(late, [])
