"""Plain values for the page."""

from __future__ import annotations

import pytest
from bestshot.model.v1 import model_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.quality.v1 import quality_pb2

from ui.pages import votes_chart
from ui.views.models import badge

pytestmark = pytest.mark.slow


def test_predicted_votes_are_shown_as_bars_and_text() -> None:
    shares = [0.0, 0.0, 0.01, 0.09, 0.4, 0.3, 0.15, 0.05, 0.0, 0.0]
    quality = quality_pb2.QualityScores(ava_score=5.64, ava_distribution=shares)
    chart = votes_chart(pb.ImageResult(filename="a.jpg", quality=quality))
    assert chart is not None
    heights = [bar.height for bar in chart.bars]
    assert max(heights) == heights[4]
    for height, share in zip(heights, shares, strict=True):
        assert height == pytest.approx(heights[4] * share / 0.4, abs=0.01)
    assert chart.note == "mean 5.64"
    assert "vote 5: 40%, vote 6: 30%" in chart.description
    assert chart.description.endswith("; mean 5.64")


def test_a_model_without_votes_has_no_chart() -> None:
    assert votes_chart(pb.ImageResult(quality=quality_pb2.QualityScores(ava_score=5.0))) is None


def test_a_model_is_called_a_heuristic_because_of_its_field_not_its_description() -> None:
    learned = model_pb2.ModelInfo(description="Better than any heuristic.")
    formula = model_pb2.ModelInfo(description="By formulas.", is_heuristic=True)
    assert "heuristics" not in badge([pb.ServedModel(role="quality", model=learned)])
    assert "Face scores" in badge([pb.ServedModel(role="face", model=formula)])
