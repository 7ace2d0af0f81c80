"""Goals for the whole album: how many photos are picked, which, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.goal import Goal, Pick
from orchestrator.domain.photo import Candidate, Decision, FileFacts, Reason
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.selection.verdict import Verdict
from orchestrator.domain.sets import WITHOUT_SETS, SetKind, SetPlace
from orchestrator.domain.verdict_sentences import describe_shortfall, explain
from tests.unit.values import FILTERS, candidate, rules

NAMES = [f"{number:02}" for number in range(12)]
ALL = len(NAMES)
NO_TIES = replace(rules().siamese, enabled=False)

shots = st.fixed_dictionaries(
    {
        "ava_score": st.floats(1, 10),
        "focus_score": st.sampled_from([0.1, 0.9, 0.9]),
        "cluster_id": st.sampled_from([-1, 0, 0, 1, 2]),
    }
)
times = st.sampled_from(
    ["", *(f"2026-05-17T{hour:02}:{minute}0:00" for hour in (9, 14) for minute in (0, 2, 5))]
)
albums = st.lists(st.tuples(shots, times), min_size=1, max_size=ALL)
decided = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(list(Decision)), max_size=4)


def album(drawn: list[tuple[dict[str, Any], str]]) -> list[Candidate]:
    return [
        replace(candidate(name, **shot), file=FileFacts(capture_time=time))
        for name, (shot, time) in zip(NAMES, drawn, strict=False)
    ]


def selection(
    photos: list[Candidate],
    pick: Pick,
    count: int = 50,
    share: float = 0.1,
    decisions: dict[str, Decision] | None = None,
) -> Selection:
    """Returns a selection among photos that do not resemble each other."""
    goal = Goal(pick=pick, count=count, share=share)
    vectors = np.eye(len(photos), dtype=np.float32)
    return Selection(photos, vectors, FILTERS, rules(goal=goal, siamese=NO_TIES), decisions or {})


def judge(*args: Any, **kwargs: Any) -> dict[str, Verdict]:
    return {verdict.path: verdict for verdict in selection(*args, **kwargs).verdicts({})}


def picks(*args: Any, **kwargs: Any) -> set[str]:
    return {path for path, verdict in judge(*args, **kwargs).items() if verdict.is_selected}


@given(albums, decided, st.integers(1, ALL), st.integers(1, ALL))
def test_the_n_best_are_n_photos_and_among_the_best_of_a_larger_number(
    drawn: list[Any], decisions: dict[str, Decision], count: int, more: int
) -> None:
    photos = album(drawn)
    names = {photo.path for photo in photos}
    kept = {name for name in names if decisions.get(name) is Decision.KEEP}
    rejected = {name for name in names if decisions.get(name) is Decision.REJECT}
    eligible = picks(photos, "count", 1000, decisions=decisions)
    found = picks(photos, "count", count, decisions=decisions)
    assert len(found) == max(len(kept), min(count, len(eligible)))
    assert kept <= found <= eligible
    assert not found & rejected
    assert found <= picks(photos, "count", count + more, decisions=decisions)


@given(
    albums,
    decided,
    st.integers(1, ALL),
    st.sampled_from(["count", "one_per_moment", "all_but_failures"]),
)
def test_every_sentence_agrees_with_the_outcome(
    drawn: list[Any], decisions: dict[str, Decision], count: int, pick: Pick
) -> None:
    chosen = selection(album(drawn), pick, count, decisions=decisions)
    verdicts = chosen.verdicts({})
    for verdict, sentence in zip(verdicts, explain(chosen, verdicts), strict=True):
        starts = ("Selected: ", "Also selected: ") if verdict.is_selected else ("Not selected: ",)
        assert sentence.startswith(starts)
        coverage = verdict.coverage
        if coverage is not None and coverage.place is not None:
            assert verdict.is_selected
        if verdict.reason is Reason.BEYOND_GOAL and coverage is not None:
            assert not verdict.is_selected
            if "the last pick had" in sentence:
                assert coverage.last_value is not None
                assert coverage.value <= coverage.last_value


def test_the_order_of_the_photos_does_not_matter() -> None:
    photos = [candidate(name, cluster_id=number % 4) for number, name in enumerate(NAMES)]
    assert picks(photos, "count", 5) == picks(photos[::-1], "count", 5)


def test_a_second_shot_of_a_moment_must_be_much_better_than_another_moment() -> None:
    close = [candidate(name, 0, ava_score=8.0) for name in "ab"] + [
        candidate("c", 1, ava_score=6.5)
    ]
    assert picks(close, "count", 2) == {"a", "c"}
    far = [*close[:2], candidate("c", 1, ava_score=4.0)]
    assert picks(far, "count", 2) == {"a", "b"}


def test_an_hour_with_many_picks_yields_to_another_hour() -> None:
    def taken(name: str, moment: int, time: str, ava_score: float) -> Candidate:
        photo = candidate(name, moment, ava_score=ava_score)
        return replace(photo, file=FileFacts(capture_time=f"2026-05-17T{time}:00"))

    morning = [taken(f"m{minute}", minute, f"09:0{minute}", 6.2) for minute in range(6)]
    evening = taken("evening", 9, "20:00", 6.0)
    assert "evening" in picks([*morning, evening], "count", 4)
    chosen = selection([*morning, evening], "count", 4)
    verdicts = chosen.verdicts({})
    text = dict(zip([verdict.path for verdict in verdicts], explain(chosen, verdicts), strict=True))
    assert "ahead of m" in text["evening"]
    assert "has a higher score but is closer to other picks" in text["evening"]
    assert "for picks within 30 minutes" in text["m5"]


def test_reasons_of_photos_that_were_left_out() -> None:
    photos = [candidate(name, 0, ava_score=7.0) for name in "abc"] + [candidate("d", 1)]
    chosen = selection(photos, "count", 2)
    verdicts = chosen.verdicts({})
    a, b, c, d = explain(chosen, verdicts)
    assert a == (
        "Selected: the best of 3 shots in this moment, score 0.68; pick 1 of the 2 photos "
        "requested."
    )
    assert d == (
        "Selected: the only shot in its moment, score 0.60; pick 2 of the 2 photos requested, "
        "ahead of b, which has a higher score but is closer to other picks."
    )
    assert b == (
        "Not selected: 2 photos requested, and this moment already has 1 pick (score 0.68, -0.20 "
        "for picks from its moment: 0.48; the last pick had 0.60)."
    )
    assert (
        c == "Not selected: 2 photos requested, and b, which ranks higher, was not selected either."
    )
    assert [verdict.lost_to for verdict in verdicts] == [None, "a", "b", None]


def test_kept_photos_count_and_may_exceed_the_number() -> None:
    photos = [candidate(name, number) for number, name in enumerate("abcd")]
    decisions = {"c": Decision.KEEP, "d": Decision.KEEP}
    assert picks(photos, "count", 3, decisions=decisions) == {"a", "c", "d"}
    chosen = selection(photos, "count", 1, decisions=decisions)
    verdicts = chosen.verdicts({})
    assert [verdict.is_selected for verdict in verdicts] == [False, False, True, True]
    assert "those that are always kept already make up that number" in explain(chosen, verdicts)[0]


def test_a_blurred_moment_comes_after_all_others() -> None:
    photos = [candidate("a", 0, ava_score=9.0, focus_score=0.1), candidate("b", 1, ava_score=2.0)]
    assert picks(photos, "count", 1) == {"b"}
    assert picks(photos, "count", 2) == {"a", "b"}


def test_a_duplicate_does_not_count() -> None:
    photos = [candidate(name, 0) for name in "ab"]
    vectors = np.ones((2, 1), np.float32)
    goal = Goal(pick="count", count=2, share=0.1)
    verdicts = Selection(photos, vectors, FILTERS, rules(goal=goal, siamese=NO_TIES), {}).verdicts(
        {}
    )
    assert [verdict.reason for verdict in verdicts] == [Reason.SELECTED_BEST, Reason.DUPLICATE]


def test_a_set_that_is_kept_whole_counts_as_one_photo() -> None:
    frames = [
        replace(
            candidate(f"{place}", 0),
            frame_set=SetPlace(SetKind.EXPOSURE_BRACKET, number=0, place=place, size=3),
        )
        for place in (1, 2, 3)
    ]
    whole = replace(WITHOUT_SETS, exposure_brackets="all")
    chosen = replace(selection([*frames, candidate("d", 1, ava_score=5.0)], "count", 2), sets=whole)
    assert all(verdict.is_selected for verdict in chosen.verdicts({}))
    better = replace(selection([*frames, candidate("d", 1, ava_score=9.0)], "count", 1), sets=whole)
    verdicts = better.verdicts({})
    assert [verdict.is_selected for verdict in verdicts] == [False, False, False, True]
    assert {verdict.reason for verdict in verdicts[:3]} == {Reason.BEYOND_GOAL}
    assert all(
        text.startswith("Not selected: 1 photo requested") for text in explain(better, verdicts)[:3]
    )


@pytest.mark.parametrize(
    ("share", "photo_count", "count"), [(0.1, 75, 8), (0.1, 3, 1), (1.0, 9, 9)]
)
def test_a_share_is_rounded_and_at_least_one(share: float, photo_count: int, count: int) -> None:
    photos = [candidate(f"{number:03}", number) for number in range(photo_count)]
    assert len(picks(photos, "share", share=share)) == count


def test_a_note_says_that_too_few_photos_qualify() -> None:
    goal = Goal(pick="count", count=5, share=0.1)
    assert "than the 5 requested" in describe_shortfall(goal, 9, 4)[0]
    assert not describe_shortfall(goal, 9, 5)
    assert not describe_shortfall(replace(goal, pick="moments"), 9, 4)


def test_one_per_moment() -> None:
    photos = [candidate(name, number // 3) for number, name in enumerate(NAMES)]
    assert picks(photos, "one_per_moment") == {"00", "03", "06", "09"}


def test_all_but_failures() -> None:
    photos = [
        *(candidate(name, 0) for name in "abc"),
        candidate("blurred", 0, focus_score=0.1),
        candidate("poor", 0, ava_score=1.0),
        candidate("rejected", 0),
    ]
    found = judge(photos, "all_but_failures", decisions={"rejected": Decision.REJECT})
    assert [found[name].is_selected for name in "abc"] == [True, True, True]
    assert found["blurred"].reason is Reason.BLURRED
    assert found["poor"].reason is Reason.BELOW_MIN_SCORE
    assert found["rejected"].reason is Reason.USER_REJECT
