from __future__ import annotations

from bestshot.orchestrator.v1 import orchestrator_pb2

from services.common.scores import read_scores, score_caption

SCORES = {score.name: score for score in read_scores(orchestrator_pb2.ImageResult.DESCRIPTOR)}


def test_scores_have_their_declared_position_and_meaning() -> None:
    noise, eyes = SCORES["noise_level"], SCORES["eyes_score"]
    assert (noise.parent, noise.unit, noise.minimum, noise.maximum) == (
        "quality",
        "grey levels",
        0.0,
        None,
    )
    assert noise.lower_is_better
    assert (eyes.parent, eyes.minimum, eyes.maximum, eyes.lower_is_better) == ("", 0.0, 1.0, False)


def test_names_labels_and_columns_are_unique() -> None:
    for field in ("label", "column"):
        values = [getattr(score, field) for score in SCORES.values()]
        assert all(values)
        assert len(set(values)) == len(values)


def test_every_number_in_a_result_except_facts_is_declared_as_a_score() -> None:
    numbers = {
        field.name
        for message in (orchestrator_pb2.ImageResult, type(orchestrator_pb2.ImageResult().quality))
        for field in message.DESCRIPTOR.fields
        if field.type == field.TYPE_DOUBLE and not field.is_repeated
    }
    assert numbers - {"megapixels"} == set(SCORES)


def test_a_caption_shows_more_digits_for_a_small_range() -> None:
    values = [(SCORES["iqa_score"], 0.724), (SCORES["ava_score"], 6.31), (SCORES["exposure"], 0.5)]
    assert score_caption(values) == "IQA: 0.72 | AVA: 6.3"
    assert score_caption([(SCORES["composite_score"], None)]) == ""
