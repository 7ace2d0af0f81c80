"""API messages for the comparison of a run with decisions."""

from __future__ import annotations

import yaml
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from orchestrator.domain.photo import Decision
from orchestrator.records import ImageRecord
from orchestrator.review.evaluation import Counts, Evaluation
from orchestrator.review.tuning import Proposal
from orchestrator.transport.converters import evaluation_message, proposal_message


def proposal(**after: float) -> Proposal:
    keys = {name.replace("__", "."): value for name, value in after.items()}
    return Proposal(
        before=dict.fromkeys(keys, 0.5),
        after=keys,
        fit_before=Counts(3, 1, 4, 1),
        fit_after=Counts(4, 0, 3, 2),
        held_out=Counts(3, 1, 3, 2),
        fold_count=5,
    )


def test_a_proposal_has_its_numbers_its_file_and_its_lines() -> None:
    message = proposal_message(proposal(select_best__min_score_threshold=0.4))
    (setting,) = message.proposed_settings
    assert (setting.key, setting.before, setting.after) == (
        "select_best.min_score_threshold",
        0.5,
        0.4,
    )
    assert message.counts_before == pb.AgreementCounts(
        kept_selected_count=3, kept_missed_count=1, rejected_selected_count=4, rejected_left_count=1
    )
    assert message.counts_after.kept_missed_count == 0
    assert message.counts_held_out.rejected_left_count == 2
    assert (message.fold_count, message.is_better) == (5, True)
    written = yaml.safe_load(message.settings_yaml)
    assert written == {"select_best": {"min_score_threshold": 0.4}}
    assert any("select_best.min_score_threshold: 0.5 -> 0.4" in line for line in message.lines)


def test_an_empty_proposal_has_no_file() -> None:
    message = proposal_message(proposal())
    assert message.settings_yaml == ""
    assert not message.is_better
    assert message.lines


def test_an_evaluation_lists_disagreements() -> None:
    record = ImageRecord(path="a.jpg", content_digest="d", size_bytes=1, reason="Not selected.")
    found = Evaluation(Counts(1, 1, 0, 0), [(record, Decision.KEEP)], 2, 0.25)
    message = evaluation_message(found)
    (one,) = message.disagreements
    assert (one.path, one.decision, one.reason) == ("a.jpg", pb.DECISION_KEEP, "Not selected.")
    assert (message.corrected_image_count, message.moments_agreement) == (2, 0.25)
    assert any("a.jpg" in line for line in message.lines)
