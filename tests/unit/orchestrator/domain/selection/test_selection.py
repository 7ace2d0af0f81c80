from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orchestrator.domain.photo import Candidate, Decision, FileFacts, OwnerMark, Reason
from orchestrator.domain.selection.parameters import SelectionParameters
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.selection.verdict import Comparisons, Verdict
from orchestrator.domain.sets import WITHOUT_SETS, SetKind, SetPlace, Use
from orchestrator.domain.verdict_sentences import explain
from tests.unit.values import FILTERS, candidate, face, rules

NO_TIES = rules(siamese=replace(rules().siamese, enabled=False))


def unit_vectors(cosines_to_first: Sequence[float]) -> NDArray[np.float32]:
    """Returns unit vectors with the given cosines to the first axis, and otherwise orthogonal."""
    count = len(cosines_to_first)
    vectors = np.zeros((count, count + 1), np.float32)
    for row, cosine in enumerate(cosines_to_first):
        vectors[row, 0] = cosine
        vectors[row, row + 1] = np.sqrt(1 - cosine**2)
    return vectors


def select(
    candidates: list[Candidate],
    embeddings: NDArray[np.float32] | None = None,
    parameters: SelectionParameters = NO_TIES,
    comparisons: Comparisons | None = None,
    decisions: dict[str, Decision] | None = None,
) -> dict[str, Verdict]:
    if embeddings is None:
        embeddings = unit_vectors([0.0] * len(candidates))
    selection = Selection(candidates, embeddings, FILTERS, parameters, decisions or {})
    verdicts = selection.verdicts(comparisons or {})
    return {verdict.path: verdict for verdict in verdicts}


def test_the_best_of_a_cluster_is_picked_first_then_distinct_ones_up_to_the_limit() -> None:
    found = select([candidate(f"{score}.jpg", ava_score=score) for score in (4.0, 8.0, 6.0)])
    assert found["8.0.jpg"].reason is Reason.SELECTED_BEST
    assert found["6.0.jpg"].reason is Reason.SELECTED_DISTINCT
    assert found["4.0.jpg"].reason is Reason.LOWER_SCORE
    assert found["4.0.jpg"].lost_to == "8.0.jpg"


@pytest.mark.parametrize(
    ("cosine", "reason"),
    [
        (0.84, Reason.SELECTED_DISTINCT),
        (0.86, Reason.TOO_SIMILAR),
        (0.96, Reason.DUPLICATE),
    ],
)
def test_a_second_pick_must_differ_enough_from_the_first(cosine: float, reason: Reason) -> None:
    vectors = np.array([[1, 0], [cosine, np.sqrt(1 - cosine**2)]], np.float32)
    found = select([candidate("a", ava_score=8.0), candidate("b", ava_score=6.0)], vectors)
    assert found["b"].reason is reason
    assert found["b"].is_selected == (reason is Reason.SELECTED_DISTINCT)


def test_a_duplicate_is_never_selected_regardless_of_the_maximum() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    many = replace(NO_TIES, max_images_per_cluster=10, dissimilarity_threshold=1.0)
    found = select([candidate(name) for name in "abc"], vectors, many)
    assert [found[name].is_selected for name in "abc"] == [True, False, False]
    assert found["c"].reason is Reason.DUPLICATE


def test_a_second_photo_must_reach_the_minimum_score() -> None:
    found = select([candidate("a", ava_score=8.0), candidate("b", ava_score=1.0)])
    assert found["b"].reason is Reason.BELOW_MIN_SCORE


def test_noise_photos_never_compete_with_each_other() -> None:
    found = select([candidate(name, cluster_id=-1) for name in "abc"])
    assert all(found[name].reason is Reason.SELECTED_BEST for name in "abc")


def test_a_single_shot_is_not_dropped_for_its_score_or_faces() -> None:
    squints = replace(
        candidate("a", cluster_id=-1, ava_score=1.0), faces=(face(eyes_score=0.0, smile_score=0.0),)
    )
    found = select([squints])
    assert found["a"].composite_score < NO_TIES.min_score_threshold
    assert found["a"].reason is Reason.SELECTED_BEST


def test_single_shots_are_left_out_if_include_noise_is_off() -> None:
    found = select(
        [candidate("a", cluster_id=-1)], parameters=replace(NO_TIES, include_noise=False)
    )
    assert found["a"].reason is Reason.NOISE_EXCLUDED


@pytest.mark.parametrize(
    ("scores", "reason"),
    [({"focus_score": 0.19}, Reason.BLURRED), ({"iqa_score": 0.29}, Reason.LOW_IQA)],
)
def test_photos_below_a_floor_lose_to_one_above_it(
    scores: dict[str, float], reason: Reason
) -> None:
    found = select([candidate("good", ava_score=3.0), candidate("bad", ava_score=9.0, **scores)])
    assert found["good"].is_selected
    assert found["bad"].reason is reason
    assert found["bad"].lost_to == "good"


def test_a_damaged_photo_loses_to_an_intact_one() -> None:
    broken = replace(candidate("broken", ava_score=9.0), file=FileFacts(is_damaged=True))
    found = select([candidate("intact", ava_score=3.0), broken])
    assert found["intact"].is_selected
    assert found["broken"].reason is Reason.DAMAGED
    assert found["broken"].lost_to == "intact"


def test_a_damaged_single_shot_is_picked() -> None:
    broken = replace(candidate("a", cluster_id=-1), file=FileFacts(is_damaged=True))
    assert select([broken])["a"].reason is Reason.SELECTED_BEST


def test_a_moment_with_only_blurred_shots_keeps_its_best_one() -> None:
    found = select([candidate(f"{i}", ava_score=5.0 + i, focus_score=0.1) for i in range(3)])
    assert [found[f"{i}"].is_selected for i in range(3)] == [False, False, True]
    assert found["0"].reason is Reason.BLURRED
    assert found["0"].lost_to == "2"


def test_a_blurred_single_shot_is_kept_and_its_reason_says_so() -> None:
    photo = candidate("a", cluster_id=-1, focus_score=0.1)
    selection = Selection([photo], unit_vectors([0.0]), FILTERS, NO_TIES, {})
    (verdict,) = selection.verdicts({})
    assert verdict.reason is Reason.SELECTED_BEST
    (sentence,) = explain(selection, [verdict])
    assert sentence.endswith("; it is blurred (sharpest region 0.10, minimum 0.20).")


def test_ties_are_decided_by_a_round_robin_of_the_comparator() -> None:
    tied = [
        candidate("a", ava_score=6.2, sharpness=0.4),
        candidate("b", ava_score=6.1, sharpness=0.5),
        candidate("c", sharpness=0.6),
    ]
    comparisons = {("a", "b"): 0.1, ("a", "c"): 0.2, ("b", "c"): 0.8}
    found = select(
        tied, parameters=replace(rules(), max_images_per_cluster=1), comparisons=comparisons
    )
    assert found["b"].is_selected
    assert found["a"].reason is Reason.LOST_COMPARISON
    assert found["a"].probability == pytest.approx(0.9)
    assert found["b"].tied_count == 2


def test_the_score_decides_if_the_comparator_is_undecided() -> None:
    tied = [candidate("a", ava_score=6.1), candidate("b", ava_score=6.2)]
    one = replace(rules(), max_images_per_cluster=1)
    found = select(tied, parameters=one, comparisons={("a", "b"): 0.5})
    assert found["b"].is_selected
    assert found["a"].reason is Reason.LOWER_SCORE


def test_the_comparator_compares_only_tied_photos() -> None:
    photos = [
        candidate("a", ava_score=6.1, sharpness=0.4),
        candidate("b", ava_score=6.2),
        candidate("c", ava_score=3),
    ]
    selection = Selection(photos, unit_vectors([0.0] * 3), FILTERS, rules(), {})
    assert selection.pairs_to_compare() == [("a", "b")]
    assert replace(selection, parameters=NO_TIES).pairs_to_compare() == []


def test_the_users_decision_overrides_everything() -> None:
    photos = [
        candidate("keep", ava_score=1.0, focus_score=0.0, iqa_score=0.0),
        candidate("reject", ava_score=10.0),
        candidate("other"),
    ]
    found = select(photos, decisions={"keep": Decision.KEEP, "reject": Decision.REJECT})
    assert found["keep"].reason is Reason.USER_KEEP
    assert found["keep"].is_selected
    assert found["reject"].reason is Reason.USER_REJECT
    assert not found["reject"].is_selected


def test_the_reason_names_the_kept_photo_that_is_picked_instead() -> None:
    photos = [candidate("kept", ava_score=2.0), candidate("fine", ava_score=8.0)]
    for parameters, vectors, expected in (
        (replace(NO_TIES, max_images_per_cluster=1), [0.0, 0.0], "you kept kept instead"),
        (NO_TIES, [1.0, 0.99], "nearly identical to kept (similarity 0.99), which you kept"),
    ):
        decisions = {"kept": Decision.KEEP}
        selection = Selection(photos, unit_vectors(vectors), FILTERS, parameters, decisions)
        assert expected in explain(selection, selection.verdicts({}))[1]


REJECTED = OwnerMark(rating=-1, source="reject.xmp")
KEPT = OwnerMark(rating=4, source="the file")


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        (REJECTED, Reason.OWNER_REJECT),
        (KEPT, Reason.OWNER_KEEP),
        (OwnerMark(rating=5, pick="rejected"), Reason.OWNER_REJECT),
        (OwnerMark(rating=1, pick="picked"), Reason.OWNER_KEEP),
        (OwnerMark(rating=3, label="Red"), Reason.LOWER_SCORE),
        (OwnerMark(), Reason.LOWER_SCORE),
    ],
)
def test_the_owners_mark_counts_like_a_decision(mark: OwnerMark, reason: Reason) -> None:
    photos = [candidate("best"), candidate("second"), candidate("marked", ava_score=5.0)]
    photos[2] = replace(photos[2], owner_mark=mark)
    assert select(photos)["marked"].reason is reason
    off = select(photos, parameters=replace(NO_TIES, use_owner_ratings=False))
    assert off["marked"].reason is Reason.LOWER_SCORE


def test_the_users_decision_overrides_the_owners_mark() -> None:
    photos = [
        replace(candidate("a"), owner_mark=REJECTED),
        replace(candidate("b"), owner_mark=KEPT),
    ]
    found = select(photos, decisions={"a": Decision.KEEP, "b": Decision.REJECT})
    assert found["a"].reason is Reason.USER_KEEP
    assert found["b"].reason is Reason.USER_REJECT


def test_the_reason_names_the_mark_and_the_setting() -> None:
    flagged = OwnerMark(rating=2, pick="picked", source="c.xmp")
    photos = [
        replace(candidate("a", ava_score=9.0), owner_mark=REJECTED),
        replace(candidate("b"), owner_mark=KEPT),
        replace(candidate("c", ava_score=5.0), owner_mark=flagged),
        candidate("d", ava_score=9.0),
    ]
    selection = Selection(photos, unit_vectors([0.0] * 4), FILTERS, NO_TIES, {})
    assert explain(selection, selection.verdicts({})) == [
        "Not selected: its rating in reject.xmp is -1 (rejected), and use_owner_ratings is on.",
        "Selected: its rating in the file is 4, and use_owner_ratings is on.",
        "Selected: it is flagged as picked in c.xmp, and use_owner_ratings is on.",
        "Not selected: its owner kept b instead.",
    ]


def test_nothing_is_picked_from_a_moment_that_the_owner_rejects() -> None:
    photos = [replace(candidate(name), owner_mark=REJECTED) for name in "ab"]
    assert not any(verdict.is_selected for verdict in select(photos).values())


def test_a_completely_rejected_moment_has_no_pick() -> None:
    found = select([candidate("a"), candidate("b")], decisions=dict.fromkeys("ab", Decision.REJECT))
    assert not any(verdict.is_selected for verdict in found.values())


scores = st.fixed_dictionaries(
    {
        "ava_score": st.floats(1, 10),
        "iqa_score": st.floats(0, 1),
        "focus_score": st.floats(0, 1),
        "cluster_id": st.integers(-1, 2),
    }
)


def any_selection(drawn: Sequence[dict[str, float]], decisions: dict[str, Decision]) -> Selection:
    photos = [candidate(f"{i:02}.jpg", **values) for i, values in enumerate(drawn)]
    vectors = np.random.default_rng(len(photos)).normal(size=(len(photos), 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Selection(photos, vectors.astype(np.float32), FILTERS, rules(), decisions)


def compare_all(selection: Selection) -> dict[tuple[str, str], float]:
    """Returns comparisons of all pairs of photos, requested or not."""
    rng = np.random.default_rng(7)
    paths = [photo.path for photo in selection.candidates]
    return {pair: float(rng.uniform()) for pair in itertools.combinations(paths, 2)}


@given(
    st.lists(scores, min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.sampled_from([None, Decision.KEEP, Decision.REJECT]),
)
def test_selection_and_its_reasons_hold_for_any_album_in_any_order(
    drawn: list[dict[str, float]], shuffler: random.Random, decision: Decision | None
) -> None:
    selection = any_selection(drawn, {"00.jpg": decision} if decision else {})
    photos, comparisons = selection.candidates, compare_all(selection)

    def run(order: list[int]) -> dict[str, tuple[Verdict, str]]:
        chosen = selection.take(order)
        verdicts = chosen.verdicts(comparisons)
        sentences = explain(chosen, verdicts)
        return {v.path: (v, text) for v, text in zip(verdicts, sentences, strict=True)}

    straight = run(list(range(len(photos))))
    shuffled = list(range(len(photos)))
    shuffler.shuffle(shuffled)
    assert run(shuffled) == straight

    by_cluster: dict[int, list[Verdict]] = {}
    for photo in photos:
        verdict, sentence = straight[photo.path]
        by_cluster.setdefault(photo.cluster_id, []).append(verdict)
        starts = ("Selected", "Also selected") if verdict.is_selected else "Not selected"
        assert sentence.startswith(starts)
        if verdict.lost_to is not None:
            assert straight[verdict.lost_to][0].is_selected
        if verdict.reason is Reason.LOWER_SCORE:
            assert verdict.lost_to is not None
    for cluster_id, verdicts in by_cluster.items():
        if cluster_id == -1:
            assert all(v.is_selected or v.reason is Reason.USER_REJECT for v in verdicts)
            continue
        taken = sum(v.is_selected for v in verdicts)
        assert taken <= 2 + (decision is Decision.KEEP)
        if any(v.reason is not Reason.USER_REJECT for v in verdicts):
            assert taken >= 1


def test_a_score_just_below_its_minimum_is_shown_with_enough_digits() -> None:
    photos = [candidate("a", iqa_score=0.5, ava_score=5.5), candidate("b", iqa_score=0.9)]
    rule = replace(NO_TIES, min_score_threshold=0.5001)
    selection = Selection(photos, unit_vectors([0.0, 0.0]), FILTERS, rule, {})
    sentence, _ = explain(selection, selection.verdicts({}))
    assert (
        sentence
        == "Not selected: its score of 0.5000 is below 0.5001; b is the best in this moment."
    )


@given(st.lists(scores, min_size=2, max_size=8))
def test_adding_an_exact_copy_never_changes_the_number_of_picks(
    drawn: list[dict[str, float]],
) -> None:
    photos = [candidate(f"{i}", **{**values, "cluster_id": 0}) for i, values in enumerate(drawn)]
    vectors = unit_vectors([0.0] * len(photos))
    before = sum(verdict.is_selected for verdict in select(photos, vectors).values())
    best = next(v.path for v in select(photos, vectors).values() if v.is_selected)
    copied = replace(photos[int(best)], path="copy")
    after = select([*photos, copied], np.vstack([vectors, vectors[int(best)]]))
    assert sum(verdict.is_selected for verdict in after.values()) == before


class RecordingComparisons(dict[tuple[str, str], float]):
    """Records the pairs that are looked up."""

    def __init__(self, answers: dict[tuple[str, str], float]) -> None:
        super().__init__(answers)
        self.read: set[tuple[str, str]] = set()

    def get(self, key: tuple[str, str], default: float = 0.5) -> float:  # type: ignore[override]
        self.read.add(key)
        return super().get(key, default)


decided = st.dictionaries(
    st.sampled_from([f"{i:02}.jpg" for i in range(12)]), st.sampled_from(list(Decision))
)
close_scores = st.fixed_dictionaries(
    {
        "ava_score": st.floats(6, 6.5),
        "focus_score": st.sampled_from([0.1, 0.8]),
        "cluster_id": st.integers(-1, 1),
    }
)


@given(st.lists(close_scores, min_size=1, max_size=12), decided)
def test_verdicts_read_only_comparisons_of_pairs_to_compare(
    drawn: list[dict[str, float]], decisions: dict[str, Decision]
) -> None:
    selection = any_selection(drawn, decisions)
    pairs = selection.pairs_to_compare()
    answers = compare_all(selection)
    recording = RecordingComparisons(answers)
    verdicts = selection.verdicts(recording)
    assert recording.read <= set(pairs)
    assert selection.verdicts({pair: answers[pair] for pair in pairs}) == verdicts


@given(st.lists(close_scores, min_size=1, max_size=12), decided, st.randoms(use_true_random=False))
def test_neither_pairs_nor_verdicts_depend_on_the_order_of_photos(
    drawn: list[dict[str, float]], decisions: dict[str, Decision], shuffler: random.Random
) -> None:
    selection = any_selection(drawn, decisions)
    order = list(range(len(drawn)))
    shuffler.shuffle(order)
    shuffled, answers = selection.take(order), compare_all(selection)
    assert shuffled.pairs_to_compare() == selection.pairs_to_compare()
    verdicts = selection.verdicts(answers)
    assert shuffled.verdicts(answers) == [verdicts[row] for row in order]


def test_copies_of_one_file_share_a_decision() -> None:
    photos = [candidate("a"), replace(candidate("b"), content_digest="a"), candidate("c")]
    found = select(photos, decisions={"a": Decision.REJECT})
    assert [found[name].is_selected for name in "abc"] == [False, False, True]


def bracket(scores: Sequence[float]) -> list[Candidate]:
    """Returns a moment of one series, from dark to bright, and a photo that is in no set."""
    count = len(scores)
    series = [
        replace(
            candidate(f"{place}.jpg", ava_score=score),
            frame_set=SetPlace(SetKind.EXPOSURE_BRACKET, 0, place, count),
        )
        for place, score in enumerate(scores, start=1)
    ]
    return [*series, candidate("other.jpg", ava_score=5.5)]


@pytest.mark.parametrize(
    ("use", "picked"),
    [
        ("ignore", {"3.jpg", "2.jpg"}),
        ("best", {"3.jpg", "other.jpg"}),
        ("middle", {"2.jpg", "other.jpg"}),
        ("all", {"1.jpg", "2.jpg", "3.jpg"}),
    ],
)
def test_a_set_is_kept_or_culled_as_a_whole(use: Use, picked: set[str]) -> None:
    photos = bracket([4.2, 6.0, 8.0])
    embeddings = unit_vectors([0.0] * len(photos))
    sets = replace(WITHOUT_SETS, exposure_brackets=use)
    selection = Selection(photos, embeddings, FILTERS, NO_TIES, {}, sets)
    verdicts = selection.verdicts({})
    found = {verdict.path: verdict for verdict in verdicts}
    assert {path for path, verdict in found.items() if verdict.is_selected} == picked
    sentences = dict(zip(found, explain(selection, verdicts), strict=True))
    assert all(sentences.values())
    if use == "best":
        assert found["1.jpg"].reason is found["2.jpg"].reason is Reason.IN_SET
        assert sentences["2.jpg"].startswith(
            "Not selected: frame 2 of 3 in an exposure bracket, represented by 3.jpg"
        )
    if use == "all":
        assert sentences["1.jpg"] == (
            "Also selected: frame 1 of 3 in an exposure bracket, which is kept as a whole."
        )


def test_a_photo_that_the_user_rejects_is_not_kept_with_its_set() -> None:
    photos = bracket([4.2, 6.0, 8.0])
    embeddings = unit_vectors([0.0] * len(photos))
    decisions = {photos[0].content_digest: Decision.REJECT}
    sets = replace(WITHOUT_SETS, exposure_brackets="all")
    verdicts = Selection(photos, embeddings, FILTERS, NO_TIES, decisions, sets).verdicts({})
    assert [verdict.reason for verdict in verdicts[:3]] == [
        Reason.USER_REJECT,
        Reason.SELECTED_WITH_SET,
        Reason.SELECTED_BEST,
    ]
