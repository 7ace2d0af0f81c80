"""Persons in real photos."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, insert, select

from orchestrator.domain.people.corrections import FacePlace, PeopleAction
from orchestrator.review.people_entries import Correction, correct_people
from orchestrator.storage.database import open_database
from orchestrator.storage.people_store import IDENTITY_ROLE, SqlPeople
from orchestrator.storage.tables import features
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


def find_pairs(people: SqlPeople) -> set[tuple[str, str]]:
    """The pairs of portraits that show the same person, according to the assignment."""
    return pairs(
        [
            {
                name
                for face in people.faces(found.person.id)
                if not (name := face.path.rpartition("/")[2]).startswith(SEVERAL_FACES)
            }
            for found in people.list_people()
        ]
    )


def rate(found: set[tuple[str, str]], truth: set[tuple[str, str]]) -> float:
    return 2 * len(found & truth) / (len(found) + len(truth))


def hide_half(engine: Engine) -> list[dict[str, Any]]:
    """Deletes the vectors of every other photo, and returns them."""
    is_identity = features.c.role == IDENTITY_ROLE
    with engine.begin() as connection:
        query = select(features).where(is_identity).order_by(features.c.content_digest)
        hidden = [row._asdict() for row in connection.execute(query)][::2]
        digests = [row["content_digest"] for row in hidden]
        gone = delete(features).where(is_identity, features.c.content_digest.in_(digests))
        connection.execute(gone)
    return hidden


def name_everybody(people: SqlPeople) -> dict[str, set[FacePlace]]:
    """Names each person by a number, and returns their faces by name."""
    named = {}
    for number, found in enumerate(people.list_people()):
        person_id, name = found.person.id, f"Person {number}"
        named[name] = set(people.places(person_id))
        said = Correction(PeopleAction.NAME, person_id=person_id, name=name)
        correct_people(people, said, name)
    return named


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
    truth = pairs(list(map(set, PERSONS)))
    f1 = rate(find_pairs(people), truth)
    figures["persons: F1 of pairs"] = {"lite": f"{f1:.2f} ({len(truth)} pairs)"}
    assert f1 >= 0.97
    hidden = hide_half(engine)
    people.assign()
    named = name_everybody(people)
    with engine.begin() as connection:
        connection.execute(insert(features), hidden)
    people.assign()
    later = rate(find_pairs(people), truth)
    figures["persons: F1 of pairs, half added later"] = {"lite": f"{later:.2f}"}
    faces = {one.person.name: people.places(one.person.id) for one in people.list_people()}
    engine.dispose()
    assert later >= 0.97
    for name, confirmed in named.items():
        assert confirmed <= set(faces[name])
