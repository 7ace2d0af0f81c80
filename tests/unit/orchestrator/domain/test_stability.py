"""Given an earlier run as a reference, only results that involve a new photo change."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.moments.labels import labels_of
from orchestrator.domain.photo import Candidate, Reason
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.selection.verdict import Verdict
from orchestrator.domain.stability import keep_moments
from orchestrator.domain.verdict_sentences import explain
from tests.unit.values import FILTERS, candidate, rules

groupings = st.lists(st.integers(0, 8), min_size=1, max_size=20)


def moments(labels: np.ndarray, names: list[str]) -> set[frozenset[str]]:
    """Returns the moments as sets of names; a single shot is a set of one."""
    found: dict[object, set[str]] = {}
    for label, name in zip(labels, names, strict=True):
        found.setdefault(int(label) if label >= 0 else name, set()).add(name)
    return {frozenset(one) for one in found.values()}


@given(groupings, groupings, st.integers(0, 3))
def test_moments_that_no_new_photo_touches_stay(
    before: list[int], after: list[int], added_count: int
) -> None:
    """This holds no matter how the clustering groups the album with some more photos."""
    count = min(len(before), max(1, len(after) - added_count))
    names = [f"p{number}" for number in range(count)]
    old = labels_of(np.array(before[:count]))
    new_names = [*names, *(f"new{number}" for number in range(max(0, len(after) - count)))]
    padded = (after + [9] * len(new_names))[: len(new_names)]
    new = labels_of(np.array(padded))
    kept = keep_moments(new, new_names, dict(zip(names, map(int, old), strict=True)))
    found, earlier, clustered = (
        moments(kept, new_names),
        moments(old, names),
        moments(new, new_names),
    )
    groups = _connect(earlier | clustered)
    for group in groups:
        is_touched = any(name.startswith("new") for name in group)
        expected = clustered if is_touched else earlier
        assert {one for one in found if one <= group} == {one for one in expected if one <= group}


def _connect(parts: set[frozenset[str]]) -> set[frozenset[str]]:
    """Joins sets that share members."""
    groups: list[set[str]] = []
    for part in parts:
        apart = [group for group in groups if group.isdisjoint(part)]
        groups = [*apart, set(part).union(*(g for g in groups if not g.isdisjoint(part)))]
    return {frozenset(group) for group in groups}


def test_a_removed_photo_frees_its_moment() -> None:
    earlier = {"a": 0, "b": 0, "gone": 0, "c": 1, "d": 1}
    kept = keep_moments(np.array([-1, -1, -1, -1]), ["a", "b", "c", "d"], earlier)
    assert list(kept) == [-1, -1, 0, 0]


def select(
    photos: list[Candidate], earlier_picks: set[str]
) -> tuple[dict[str, Verdict], dict[str, str]]:
    vectors = np.eye(len(photos), dtype=np.float32)
    one = rules(max_images_per_cluster=1)
    chosen = Selection(photos, vectors, FILTERS, one, {}, earlier_picks=frozenset(earlier_picks))
    verdicts = chosen.verdicts({})
    paths = [verdict.path for verdict in verdicts]
    return dict(zip(paths, verdicts, strict=True)), dict(
        zip(paths, explain(chosen, verdicts), strict=True)
    )


def test_a_pick_stays_unless_another_photo_is_better_by_the_margin() -> None:
    old, slightly = candidate("old", ava_score=6.0), candidate("new", ava_score=6.2)
    found, texts = select([old, slightly], {"old"})
    assert found["old"].reason is Reason.KEPT_FROM_LAST_RUN
    assert found["new"].reason is Reason.NOT_BETTER_ENOUGH
    assert found["new"].lost_to == "old"
    assert texts["old"] == (
        "Selected: also picked in the last run, score 0.60; new scores only 0.016 higher, less "
        "than the margin of 0.020."
    )
    assert texts["new"] == (
        "Not selected: old was picked in the last run, and new scores only 0.016 higher, less than "
        "the margin of 0.020."
    )
    much_better = candidate("new", ava_score=6.4)
    found, _ = select([old, much_better], {"old"})
    assert found["new"].reason is Reason.SELECTED_BEST
    found, _ = select([old, slightly], set())
    assert found["new"].reason is Reason.SELECTED_BEST


def test_two_new_photos_change_no_pick_of_other_moments() -> None:
    """300 photos in 100 moments; the clustering moves borders, and scores lie close together."""
    rng = np.random.default_rng(1)
    names = [f"{number:03}" for number in range(300)]
    scores = rng.normal(6.0, 0.2, 302)
    old = labels_of(np.repeat(np.arange(100), 3))
    earlier = dict(zip(names, map(int, old), strict=True))

    def picks(labels: np.ndarray, paths: list[str], earlier_picks: set[str]) -> set[str]:
        photos = [
            candidate(path, int(label), ava_score=score)
            for path, label, score in zip(paths, labels, scores, strict=False)
        ]
        return {path for path, one in select(photos, earlier_picks)[0].items() if one.is_selected}

    before = picks(old, names, set())
    # new photos join moments 0 and 1, and elsewhere the clustering splits differently
    moved = labels_of(np.array([*np.repeat(np.arange(100), 3)[1:], 99, 0, 1]))
    joined = np.where(np.arange(302) < 6, [*old, 0, 1], [*moved[:300], 0, 1])
    grown = [*names, "new0", "new1"]
    unstable = picks(labels_of(joined), grown, set())
    assert len(before - unstable) > 5
    stable = keep_moments(labels_of(joined), grown, earlier)
    after = picks(stable, grown, before)
    changed = {name for name in before ^ after if not name.startswith("new")}
    assert {earlier[name] for name in changed} <= {0, 1, 2}
