"""Persons on real photos."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

from orchestrator.storage.database import open_database
from orchestrator.storage.people_store import SqlPeople
from tests.accuracy.conftest import REAL_MODELS, Figures, pull_real_models
from tests.integration.command import bestshot, curate

PERSONS = (
    *(tuple(f"stock-emotions-a-{number}.jpg" for number in range(1, 9)),),
    ("reaction_close_eyes.jpeg", "reaction_open_eyes.png"),
    ("img1.jpg", "img5.jpg", "img7.jpg", "img11.jpg"),
    ("img13.jpg", "img15.jpg"),
    ("img29.jpg", "img31.jpg"),
)
"""Portraits of one person each; all other portraits are of different persons."""
SEVERAL_FACES = ("couple.jpg", "group-")
"""Photos whose persons are not labelled."""


def pairs(groups: list[set[str]]) -> set[tuple[str, str]]:
    return {pair for group in groups for pair in combinations(sorted(group), 2)}


def test_persons_are_told_apart(
    real_photos: Callable[[str], Path], tmp_path: Path, figures: Figures
) -> None:
    folders = [real_photos("portraits"), real_photos("faces")]
    changes = {"BESTSHOT_MODELS_DIR": str(tmp_path / "models")}
    pull_real_models("lite", tmp_path / "data", changes)
    pull = ["models", "pull", "mobilefacenet", "--from", REAL_MODELS]
    assert bestshot(pull, data=tmp_path / "data", changes=changes).code == 0
    curate(
        folders[0],
        tmp_path / "out",
        tmp_path / "data",
        folders[1],
        *("--profile", "lite", "--set", "people.enabled=true"),
        changes=changes,
    )
    engine = open_database(tmp_path / "data")
    people = SqlPeople(engine)
    groups = [
        {face.path.rpartition("/")[2] for face in people.faces(found.person.id)}
        for found in people.list_people()
    ]
    engine.dispose()
    found = pairs(
        [{name for name in group if not name.startswith(SEVERAL_FACES)} for group in groups]
    )
    truth = pairs(list(map(set, PERSONS)))
    f1 = 2 * len(found & truth) / (len(found) + len(truth))
    figures["persons: F1 of pairs"] = {"lite": f"{f1:.2f} ({len(truth)} pairs)"}
    assert f1 >= 0.97
