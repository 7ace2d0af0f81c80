"""Sentences never contradict the numbers: what they say is true for any moment."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.alteration import Alteration, Edit
from orchestrator.domain.content import ContentTreatment
from orchestrator.domain.goal import Goal
from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.people.persons import Person
from orchestrator.domain.photo import Candidate, ContentClass, Decision, FileFacts, Reason
from orchestrator.domain.scoring import FAULT_WORDS, face_faults, read_signs, worst_face
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.selection.verdict import Comparisons, Verdict
from orchestrator.domain.sets import WITHOUT_SETS, SetKind, SetParameters, SetPlace
from orchestrator.domain.verdict_sentences import explain
from tests.unit.values import FILTERS, candidate, face, rules

SCENE = tuple(range(256))
ROUNDING = 0.0051
"""Numbers are shown with at least two decimals."""

unit = st.floats(0, 1)
shots = st.fixed_dictionaries(
    {
        "ava_score": st.floats(6, 6.5) | st.floats(1, 10),
        "iqa_score": st.sampled_from([0.6, 0.7]) | unit,
        "focus_score": st.sampled_from([0.1, 0.9, 0.9]) | unit,
        "sharpness": unit,
        "cluster_id": st.sampled_from([-1, 0, 0, 0, 1]),
        "luminance_grid": st.sampled_from([(), (), SCENE, SCENE[::-1]]),
        "brightness": unit,
    }
)
files = st.builds(
    FileFacts,
    width_px=st.sampled_from([800, 4000]),
    height_px=st.just(600),
    size_bytes=st.sampled_from([10**5, 10**6]),
    has_camera=st.booleans(),
    is_damaged=st.sampled_from([False] * 9 + [True]),
)
one_face = st.builds(
    face,
    eyes_score=unit,
    smile_score=unit,
    pose_score=unit,
    confidence=st.floats(0.5, 1),
    pitch_degrees=st.floats(-40, 40) | st.none(),
)
faces = st.lists(one_face, max_size=2)
PERSONS = {
    "a": Person("a", "Ann", is_ignored=False),
    "b": Person("b", "Bob", is_ignored=False, is_important=True),
    "c": Person("c", "", is_ignored=False),
    "d": Person("d", "Dan", is_ignored=True),
}
people = st.permutations(["a", "b", "c", "d", "", ""])
kinds = st.sampled_from([ContentClass.PHOTO] * 12 + list(ContentClass))
originals = st.sampled_from([*[""] * 20, *"abcd"])
places = st.none() | st.builds(
    SetPlace, st.sampled_from(SetKind), st.integers(0, 1), st.integers(1, 8), st.just(8)
)
photos = st.tuples(shots, files, faces, kinds, originals, places, people)
uses = st.tuples(
    st.sampled_from(["original", "edits", "all", "compete"]),
    st.builds(SetParameters, *[st.sampled_from(["ignore", "best", "all"])] * 4),
)
treatment = st.sampled_from(["photo", "keep", "exclude"])
treatments = st.builds(ContentTreatment, *[treatment] * 5)
decisions = st.dictionaries(
    st.sampled_from("abcdefgh"), st.sampled_from(list(Decision)), max_size=2
)
goals = st.builds(
    Goal,
    pick=st.sampled_from(["moments", "everybody", "count", "one_per_moment", "all_but_failures"]),
    count=st.integers(1, 6),
    share=st.just(0.1),
)


@dataclass(frozen=True)
class Judged:
    """A photo with its verdict and sentence."""

    candidate: Candidate
    verdict: Verdict
    sentence: str

    def stated(self, pattern: str) -> list[float]:
        """Returns the numbers that a pattern's groups match in the sentence."""
        found = re.search(pattern, self.sentence)
        assert found, (pattern, self.sentence)
        return [float(number) for number in found.groups()]


def judge(
    drawn: list[Any],
    treated: ContentTreatment,
    decided: dict[str, Decision],
    goal: Goal,
    seed: int,
    use: tuple[Any, SetParameters] = ("original", WITHOUT_SETS),
) -> dict[str, Judged]:
    candidates = [
        replace(
            candidate(path, detail_grid=(9,) * len(shot["luminance_grid"]), **shot),
            file=file,
            faces=tuple(found),
            content=kind,
            alteration=Alteration(original, (Edit.CROPPED,)) if original else None,
            frame_set=place,
            person_ids=tuple(who[: len(found)]),
        )
        for path, (shot, file, found, kind, original, place, who) in zip(
            "abcdefgh", drawn, strict=False
        )
    ]
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(len(candidates), 2)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = itertools.combinations([photo.path for photo in candidates], 2)
    comparisons: Comparisons = {pair: float(random.uniform()) for pair in pairs}
    picks = frozenset(photo.path for photo in candidates if random.uniform() < 0.3)
    selection = Selection(
        candidates,
        vectors,
        FILTERS,
        rules(content=treated, goal=goal, versions=use[0]),
        decided,
        use[1],
        earlier_picks=picks if seed % 2 else frozenset(),
        persons=PERSONS if seed % 3 else {},
    )
    verdicts = selection.verdicts(comparisons)
    sentences = explain(selection, verdicts)
    rows = zip(candidates, verdicts, sentences, strict=True)
    return {photo.path: Judged(photo, verdict, text) for photo, verdict, text in rows}


@given(st.lists(photos, min_size=1, max_size=8), treatments, decisions, uses, st.integers(0, 2**16))
def test_every_moment_keeps_a_photo_unless_none_may_be_picked(
    drawn: list[Any],
    treated: ContentTreatment,
    decided: dict[str, Decision],
    use: tuple[Any, SetParameters],
    seed: int,
) -> None:
    moments: dict[tuple[int, str], list[Judged]] = {}
    for path, one in judge(drawn, treated, decided, rules().goal, seed, use).items():
        cluster = one.candidate.cluster_id
        moments.setdefault((cluster, path if cluster == NOISE else ""), []).append(one)
    for moment in moments.values():
        out = (Reason.USER_REJECT, Reason.MISFIRE, Reason.CONTENT_EXCLUDED)
        is_picked = any(one.verdict.is_selected for one in moment)
        assert is_picked or all(one.verdict.reason in out for one in moment)


def test_a_version_that_scores_higher_but_is_beyond_the_goal_is_named() -> None:
    shot = {"ava_score": 6.0, "iqa_score": 0.6, "focus_score": 0.9, "sharpness": 0.5}
    shot |= {"luminance_grid": (), "brightness": 0.5}
    file = FileFacts(width_px=800, height_px=600, size_bytes=10**5, has_camera=False)

    def drawn(cluster_id: int, original: str = "", **better: float) -> tuple[Any, ...]:
        scores = {**shot, "cluster_id": cluster_id, **better}
        return scores, file, [], ContentClass.PHOTO, original, None, [""] * 6

    judged = judge(
        [
            drawn(-1, focus_score=0.1),
            drawn(0, focus_score=0.1),
            drawn(0, "b", iqa_score=0.7, focus_score=0.1),
        ],
        ContentTreatment(*["photo"] * 5),
        {},
        Goal(pick="count", count=2, share=0.1),
        0,
        ("all", WITHOUT_SETS),
    )
    assert judged["c"].verdict.reason is Reason.BEYOND_GOAL
    assert "; c scores 0.60, but the requested number is already picked" in judged["b"].sentence


@given(
    st.lists(photos, min_size=1, max_size=8),
    treatments,
    decisions,
    goals,
    uses,
    st.integers(0, 2**16),
)
def test_every_sentence_agrees_with_the_numbers(
    drawn: list[Any],
    treated: ContentTreatment,
    decided: dict[str, Decision],
    goal: Goal,
    use: tuple[Any, SetParameters],
    seed: int,
) -> None:
    judged = judge(drawn, treated, decided, goal, seed, use)
    for one in judged.values():
        start = ("Selected: ", "Also selected: ") if one.verdict.is_selected else "Not selected: "
        assert one.sentence.startswith(start)
        (check_selected if one.verdict.is_selected else check_rejected)(one, judged)
        check_outcome(one, judged)
        check_faults(one)
        check_company(one, judged)
        check_judged(one, judged)


group_shots = st.tuples(
    shots.map(lambda shot: {**shot, "iqa_score": 0.7, "luminance_grid": (), "cluster_id": 0}),
    files,
    st.lists(one_face, min_size=1, max_size=2),
    st.just(ContentClass.PHOTO),
    st.just(""),
    st.none(),
    st.permutations(["a", "b", "c", ""]),
)


@given(st.lists(group_shots, min_size=2, max_size=8), decisions, st.integers(0, 2**16))
def test_photos_picked_for_a_person_say_why(
    drawn: list[Any], decided: dict[str, Decision], seed: int
) -> None:
    goal = replace(rules().goal, pick="everybody")
    judged = judge(drawn, rules().content, decided, goal, 3 * seed + 1)
    for one in judged.values():
        check_company(one, judged)
        check_judged(one, judged)


def check_selected(one: Judged, judged: dict[str, Judged]) -> None:
    """Checks that a pick's reason states its score correctly."""
    if one.verdict.reason is Reason.SELECTED_BEST:
        check_best(one, judged)
    elif one.verdict.reason is Reason.KEPT_FROM_LAST_RUN:
        assert one.verdict.outranked
        check_margin(one, one.verdict, judged[one.verdict.outranked].verdict)
    elif one.verdict.reason is Reason.SELECTED_DISTINCT:
        (score,) = one.stated(r"score (-?[\d.]+),")
        similarity, limit = one.stated(r"similarity (-?[\d.]+), limit ([\d.]+)")
        assert abs(score - one.verdict.composite_score) <= ROUNDING
        assert similarity < limit


def check_rejected(one: Judged, judged: dict[str, Judged]) -> None:
    """Checks that the reason gives the deciding comparison with its values, and that it is true."""
    verdict, quality = one.verdict, one.candidate.quality
    rival = judged[verdict.lost_to] if verdict.lost_to else None
    match verdict.reason:
        case Reason.LOWER_SCORE if rival and "kept" not in one.sentence:
            mine, best = one.stated(r"score (-?[\d.]+) vs (-?[\d.]+) for")
            assert mine <= best
            assert abs(best - rival.verdict.composite_score) <= ROUNDING
        case Reason.LOST_COMPARISON if rival and "kept" not in one.sentence:
            mine, best = one.stated(r"score of (-?[\d.]+) is close to that of \w+ \((-?[\d.]+)\)")
            assert abs(mine - best) <= rules().siamese.tiebreaker_range + 2 * ROUNDING
        case Reason.TOO_SIMILAR:
            similarity, limit = one.stated(r"similarity (-?[\d.]+), limit ([\d.]+)")
            assert similarity >= limit
        case Reason.BELOW_MIN_SCORE:
            value, limit = one.stated(r"score of (-?[\d.]+) is below ([\d.]+)")
            assert value < limit
        case Reason.DAMAGED:
            assert one.candidate.file.is_damaged
        case Reason.BLURRED:
            value, limit = one.stated(r"sharpest region ([\d.]+), minimum ([\d.]+)")
            assert value < limit
            assert abs(value - quality.focus_score) <= ROUNDING
        case Reason.LOW_IQA:
            value, limit = one.stated(r"quality of ([\d.]+) is below ([\d.]+)")
            assert value < limit
        case Reason.COPY:
            assert rival
            check_copy(one, rival)
        case Reason.VERSION:
            assert rival
            assert one.sentence == f"Not selected: a cropped version of {rival.candidate.path}."


def check_outcome(one: Judged, judged: dict[str, Judged]) -> None:
    """Checks that what the reason says about another photo's result is true."""
    rival = judged[one.verdict.lost_to] if one.verdict.lost_to else None
    if one.verdict.reason is Reason.NOT_BETTER_ENOUGH:
        assert rival
        assert rival.verdict.is_selected or rival.verdict.reason is Reason.BEYOND_GOAL
        check_margin(one, rival.verdict, one.verdict)
    if one.verdict.reason is Reason.BEYOND_GOAL:
        check_beyond_goal(one, judged)
    if "is the best in this moment" in one.sentence:
        assert rival
        assert rival.verdict.rank == 1


def check_margin(one: Judged, pick: Verdict, other: Verdict) -> None:
    """Checks that a photo that does not replace an earlier pick is not better by the margin."""
    lead = other.composite_score - pick.composite_score
    assert lead < rules().stability_margin
    assert pick.rank < other.rank
    if "scores only" in one.sentence:
        better, margin = one.stated(
            r"scores only (\d\.\d+) higher, less than the margin of (\d\.\d+)"
        )
        assert better < margin
    else:
        assert lead <= 0


def check_beyond_goal(one: Judged, judged: dict[str, Judged]) -> None:
    """Checks that a photo left out counts less than the last pick, or follows another one."""
    coverage = one.verdict.coverage
    assert coverage
    picked = [other for other in judged.values() if other.verdict.is_selected]
    assert len(picked) >= coverage.requested
    if "was not selected either" in one.sentence:
        assert coverage.ahead
        assert not judged[coverage.ahead].verdict.is_selected
    elif "last pick counted" in one.sentence:
        value, last = one.stated(r"(?:score|:) (-?[\d.]+); the last pick had (-?[\d.]+)\)")
        assert value <= last
    if "this moment already has" in one.sentence:
        assert coverage.moment_count


def check_best(one: Judged, judged: dict[str, Judged]) -> None:
    """Checks that the pick's score is shown, and that photos that outscore it are tied or named."""
    (score,) = one.stated(r"score (-?[\d.]+)(?:[ ;,(]|\.$)")
    assert abs(score - one.verdict.composite_score) <= ROUNDING
    if one.candidate.cluster_id == -1:
        return
    higher = [
        other
        for other in judged.values()
        if other.candidate.cluster_id == one.candidate.cluster_id
        and other.verdict.composite_score > one.verdict.composite_score
        and not other.verdict.is_selected
    ]
    if not higher:
        assert " scores " not in one.sentence
        return
    top = min(higher, key=lambda other: (-other.verdict.composite_score, other.verdict.path))
    if f"ahead of {top.candidate.path}, which has a higher score" in one.sentence:
        assert f"; {top.candidate.path} scores" not in one.sentence
    elif top.verdict.points is None:
        (value,) = one.stated(rf"; {top.candidate.path} scores (-?[\d.]+), but")
        assert value > score
    else:
        assert "preferred in a direct comparison to" in one.sentence


def check_copy(one: Judged, original: Judged) -> None:
    if "smaller copy" in one.sentence:
        mine, theirs = one.stated(r"\((\d+) x \d+ px; the original has (\d+) x")
        assert mine < theirs
    if "bits per pixel" in one.sentence:
        mine, theirs = one.stated(r"\(([\d.]+) bits per pixel vs ([\d.]+)\)")
        assert mine < theirs
    if "enlarged" in one.sentence:
        mine, theirs = one.stated(r"(\d+) px on its long side instead of (\d+)")
        assert mine > theirs
        mine, theirs = one.stated(r"focus ([\d.]+) vs ([\d.]+)")
        assert mine < theirs
    if "without camera metadata" in one.sentence:
        assert original.candidate.file.has_camera
        assert not one.candidate.file.has_camera


def shown(one: Judged) -> set[str]:
    """Returns the persons in a photo; their faces are large, so that a confidence decides."""
    return {
        who
        for who, found in zip(one.candidate.person_ids, one.candidate.faces, strict=True)
        if who and found.confidence > 0.6
    }


def check_company(one: Judged, judged: dict[str, Judged]) -> None:
    """Checks what a reason says about who is in the photo."""
    named = {"Ann": "a", "Bob": "b"}
    stated = r"the (only one|best) of (them|the \d+) with (.+?)[;.]"
    if found := re.search(stated, one.sentence):
        people = {who for name, who in named.items() if name in found[3]}
        assert people == shown(one) & set(named.values())
        moment = [
            other
            for other in judged.values()
            if other.candidate.cluster_id == one.candidate.cluster_id
        ]
        same = [other for other in moment if people <= shown(other)]
        assert len(same) < len(moment)
        assert found[2] == ("them" if len(same) == 1 else f"the {len(same)}")
        best = max(other.verdict.composite_score for other in same)
        assert one.verdict.composite_score == best
    if one.verdict.reason is Reason.SELECTED_FOR_PERSON:
        check_brought_in(one, judged)


def check_brought_in(one: Judged, judged: dict[str, Judged]) -> None:
    """Checks that a photo is picked for a person who is in no better pick."""
    brought = one.verdict.brought_in
    assert brought
    assert ("Ann" in one.sentence) == ("a" in (brought.person_id, *brought.other_ids))
    assert "Dan" not in one.sentence
    photos = [other for other in judged.values() if brought.person_id in shown(other)]
    assert one in photos
    others = [
        other for other in photos if other.verdict.is_selected and not other.verdict.brought_in
    ]
    if "the only photo of" in one.sentence:
        assert photos == [one]
    if "the only" in one.sentence:
        assert brought.option_count == 1
    if "not a good one" in one.sentence:
        assert not others
        assert not any(
            is_good(other, brought.person_id) for other in photos if other.verdict.is_selected
        )
    else:
        assert not any(is_good(other, brought.person_id) for other in others)
        assert is_good(one, brought.person_id)


def is_good(one: Judged, person: str) -> bool:
    signs = read_signs(one.candidate.faces, rules().person_penalties)
    quality = one.candidate.quality
    is_sound = not one.candidate.file.is_damaged and quality.focus_score >= FILTERS.min_sharpness
    return (
        is_sound
        and quality.iqa_score >= FILTERS.min_iqa_score
        and any(
            who == person and sign.is_prominent and sign.eyes != "closed"
            for who, sign in zip(one.candidate.person_ids, signs, strict=True)
        )
    )


def check_judged(one: Judged, judged: dict[str, Judged]) -> None:
    """Checks that the reason names whose faces count, and that no other face costs anything."""
    if "only the faces of" not in one.sentence:
        return
    counting = [one.candidate.person_ids[place] for place in one.verdict.judged]
    assert set(counting) <= {"b", ""}
    assert ("Bob" in one.sentence.partition("only the faces of")[2]) == ("b" in counting)
    assert any(
        "b" in shown(other)
        for other in judged.values()
        if other.candidate.cluster_id == one.candidate.cluster_id
    )
    faces = [one.candidate.faces[place] for place in one.verdict.judged]
    assert one.verdict.worst == worst_face(faces, rules().person_penalties.prominent_face_ratio)


def check_faults(one: Judged) -> None:
    """Checks that faults are named only if they have a penalty, which is shown."""
    faults = face_faults(one.verdict.worst, rules().person_penalties)
    named = [words for words in FAULT_WORDS.values() if words in one.sentence]
    assert set(named) <= {FAULT_WORDS[fault] for fault in faults}
    if named:
        (cost,) = one.stated(r": ([-+][\d.]+)\)")
        assert abs(cost - one.verdict.person_penalty) <= ROUNDING
