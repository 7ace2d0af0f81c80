from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.uncertain_pairs import Shot, ShotPair, choose_pairs

TIES = 0.05
SCORES = st.floats(0, 1).map(lambda value: round(value, 3))


def shot(path: str, composite: float, moment: str = "m", digest: str = "", kin: str = "") -> Shot:
    return Shot(path, digest or path, moment, {"iqa": composite}, composite, kin)


@st.composite
def shots(draw: st.DrawFn) -> list[Shot]:
    count = draw(st.integers(0, 12))
    return [
        shot(
            f"p{place}",
            draw(SCORES),
            draw(st.sampled_from("abc")),
            draw(st.sampled_from([f"d{place}", "copy"])),
            draw(st.sampled_from(["", "", "set"])),
        )
        for place in range(count)
    ]


def digests(pair: ShotPair) -> frozenset[str]:
    return frozenset((pair.left.content_digest, pair.right.content_digest))


@given(shots())
def test_pairs_are_of_one_moment_and_of_two_pictures(album: list[Shot]) -> None:
    found = choose_pairs(album, {}, set(), TIES)
    for pair in found:
        assert pair.left.moment == pair.right.moment
        assert pair.left.content_digest < pair.right.content_digest
        assert not (pair.left.kin and pair.left.kin == pair.right.kin)
        assert pair.left.composite != pair.right.composite
        assert 0 <= pair.left_better_probability <= 1
    by_moment = Counter((pair.left.moment, digests(pair)) for pair in found)
    assert not by_moment or max(by_moment.values()) == 1
    backwards = album[::-1]
    assert choose_pairs(backwards, {}, set(), TIES) == found


@given(shots())
def test_an_answer_removes_its_pair_and_nothing_else(album: list[Shot]) -> None:
    found = choose_pairs(album, {}, set(), TIES)
    if not found:
        return
    left = choose_pairs(album, {}, {digests(found[0])}, TIES)
    assert {digests(pair) for pair in left} == {digests(pair) for pair in found} - {
        digests(found[0])
    }


@given(shots())
def test_moments_take_turns(album: list[Shot]) -> None:
    found = choose_pairs(album, {}, set(), TIES)
    moments = [pair.left.moment for pair in found]
    first_turn = moments[: len(set(moments))]
    assert len(set(first_turn)) == len(first_turn)
    certainties = [pair.certainty for pair in found[: len(first_turn)]]
    assert certainties == sorted(certainties)


def test_the_least_certain_pair_comes_first_and_the_comparator_counts_within_its_range() -> None:
    album = [shot("a", 0.60), shot("b", 0.57), shot("c", 0.50)]
    assert digests(choose_pairs(album, {}, set(), TIES)[0]) == {"a", "b"}
    sure = {("a", "b"): 0.99, ("b", "c"): 0.5}
    first = choose_pairs(album, sure, set(), TIES)[0]
    assert digests(first) == {"b", "c"}  # too far apart for the comparator to decide
    assert first.left_better_probability > 0.5


def test_a_moment_that_was_asked_about_waits_for_the_others() -> None:
    album = [shot(f"{name}{place}", 0.5 + place / 40, name) for name in "ab" for place in range(3)]
    found = choose_pairs(album, {}, {frozenset(("a0", "a1"))}, TIES)
    assert found[0].left.moment == "b"


def test_shots_with_the_same_scores_are_not_compared() -> None:
    assert choose_pairs([shot("a", 0.5), shot("b", 0.51)], {}, set(), TIES) == []
