"""Entries of the decision log in words."""

from __future__ import annotations

from orchestrator.cli.decision_text import describe_log
from orchestrator.domain.decisions import DecisionAction
from tests.unit.values import entry


def test_marks_and_answers_are_described() -> None:
    log = [
        entry("1", DecisionAction.RATE, "a", "b", stars=4),
        entry("2", DecisionAction.LABEL, "a", label="blue"),
        entry("3", DecisionAction.RATE, "b"),
        entry("4", DecisionAction.PREFER, "b", "a"),
        entry("5", DecisionAction.UNDO, undone_id="4"),
    ]
    assert list(describe_log(log).values()) == [
        "give 4 stars to a.jpg, b.jpg",
        "apply the blue label to a.jpg",
        "remove the stars from b.jpg",
        "prefer b.jpg to a.jpg",
        "undo: prefer b.jpg to a.jpg",
    ]


def test_a_long_chain_of_undos_is_described_without_recursion() -> None:
    log = [entry("0", DecisionAction.KEEP, "a")]
    for number in range(1, 3002):
        log.append(entry(str(number), DecisionAction.UNDO, undone_id=str(number - 1)))
    texts = describe_log(log)
    assert texts["2"] == "undo: undo: keep a.jpg"
    assert texts["3001"] == "undo (3001 in a row): keep a.jpg"
