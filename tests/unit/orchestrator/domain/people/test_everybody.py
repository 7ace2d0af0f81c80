"""The goal `everybody`: at least one good photo of each person."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.people.everybody import GroupShot, bring_in, find_missing
from orchestrator.domain.people.persons import Person

PERSONS = {key: Person(key, key.upper(), is_ignored=False) for key in "abc"}


@st.composite
def shots(draw: st.DrawFn) -> list[GroupShot]:
    made = []
    for number in range(draw(st.integers(0, 8))):
        people = draw(st.frozensets(st.sampled_from("abc"), max_size=3))
        well = draw(st.frozensets(st.sampled_from(sorted(people) or [""])))
        is_picked = draw(st.booleans())
        may_be = not is_picked and draw(st.booleans())
        score = draw(st.sampled_from([0.3, 0.5, 0.7]))
        made.append(GroupShot(f"{number}", score, people, well & people, is_picked, may_be))
    return made


@given(shots())
def test_everybody_is_well_shown_on_a_pick_if_possible(album: list[GroupShot]) -> None:
    brought = bring_in(album, PERSONS)
    picked = [shot for shot in album if shot.is_picked or shot.path in brought]
    options = [shot for shot in album if shot.is_picked or shot.may_be_picked]
    for person in PERSONS:
        if any(person in shot.well_shown for shot in options):
            assert any(person in shot.well_shown for shot in picked)
        if any(person in shot.people for shot in options):
            assert any(person in shot.people for shot in picked)
    missing = {who for shot in album for who in shot.people}
    assert set(find_missing(album, brought)) == missing - {
        who for shot in picked for who in shot.people
    }


@given(shots())
def test_only_photos_that_may_be_picked_are_added_each_for_somebody(
    album: list[GroupShot],
) -> None:
    by_path = {shot.path: shot for shot in album}
    brought = bring_in(album, PERSONS)
    assert len(brought) <= len(PERSONS)
    for path, found in brought.items():
        shot = by_path[path]
        assert shot.may_be_picked
        assert found.person_id in shot.people
        assert found.is_good == (found.person_id in shot.well_shown)
        own = [other for other in album if found.person_id in other.people]
        assert found.photo_count == len(own)
        same = [other for other in own if other.may_be_picked]
        if found.is_good:
            same = [other for other in same if found.person_id in other.well_shown]
        assert shot.score == max(other.score for other in same)
    assert bring_in(album, PERSONS) == brought
