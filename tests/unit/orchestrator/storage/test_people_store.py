"""People in the database: corrections at once and later, and nothing left after erasing."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, delete

from orchestrator.domain.people.corrections import PeopleAction
from orchestrator.domain.people.faces import Box, IdentifiedFace
from orchestrator.domain.people.persons import Person
from orchestrator.features import pack_identities
from orchestrator.metrics import RunMetrics
from orchestrator.review.people_entries import (
    Correction,
    correct_people,
    undo_people_correction,
)
from orchestrator.storage.database import open_database
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.people_store import IDENTITY_ROLE, SqlPeople
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.storage.tables import features, people_log
from services.common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from tests.unit.orchestrator.storage.test_storage import album, image, run

MODEL = "m"
BOX = Box(0.1, 0.1, 0.3, 0.3)


@pytest.fixture
def sqlite_engine(sqlite_folder: Path) -> Iterator[Engine]:
    opened = open_database(sqlite_folder)
    yield opened
    opened.dispose()


def vector(person: int, photo: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    noise = np.random.default_rng(photo).normal(size=64) * 0.02
    found = np.eye(64)[person] + noise
    return (found / np.linalg.norm(found)).astype(np.float32)


def add_photos(engine: Engine, persons: str, start: int = 0) -> SqlPeople:
    """Stores one photo per letter, which is the person in it, as a run does."""
    cache = SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    for photo, letter in enumerate(persons, start=start):
        face = IdentifiedFace(BOX, 1.0, vector(ord(letter) - ord("a"), photo))
        cache.put({(f"{photo:03}", IDENTITY_ROLE, MODEL): pack_identities([face])})
    people = SqlPeople(engine)
    people.use_model(MODEL, 0.4)
    return people


def correct(people: SqlPeople, action: PeopleAction, entry_id: str, **said: object) -> None:
    correct_people(people, Correction(action, **said), entry_id)  # type: ignore[arg-type]


def digests(people: SqlPeople) -> dict[str, str]:
    """Returns the photos of each person by name; unnamed ones are called by their first photo."""
    found = {}
    for one in people.list_people():
        photos = [place.content_digest for place in people.places(one.person.id)]
        found[one.person.name or photos[0]] = " ".join(str(int(photo)) for photo in photos)
    return found


def who(people: SqlPeople, photo: int) -> str:
    """Returns the id of the person in a photo."""
    for one in people.list_people():
        if f"{photo:03}" in {place.content_digest for place in people.places(one.person.id)}:
            return one.person.id
    raise AssertionError(f"nobody is on photo {photo}")


def test_corrections_apply_at_once_and_to_later_photos_until_undone(engine: Engine) -> None:
    people = add_photos(engine, "aaabbc")
    assert digests(people) == {"000": "0 1 2", "003": "3 4", "005": "5"}
    correct(people, PeopleAction.NAME, "1", person_id=who(people, 0), name="Anna")
    correct(
        people, PeopleAction.MERGE, "2", person_id=who(people, 0), other_person_id=who(people, 3)
    )
    assert digests(people) == {"Anna": "0 1 2 3 4", "005": "5"}
    moved = people.places(who(people, 0))[:1]
    correct(people, PeopleAction.MOVE, "3", faces=moved, name="Ben")
    assert digests(people) == {"Anna": "1 2 3 4", "Ben": "0", "005": "5"}
    not_she = people.places(who(people, 1))[-1:]
    correct(people, PeopleAction.NOT_PERSON, "4", person_id=who(people, 1), faces=not_she)
    correct(people, PeopleAction.NOT_FACE, "5", faces=people.places(who(people, 5)))
    correct(people, PeopleAction.IGNORE, "6", person_id=who(people, 4))
    assert digests(people) == {"Anna": "1 2 3", "Ben": "0", "004": "4"}
    assert [one.person.is_ignored for one in people.list_people()] == [False, False, True]
    ignored = people.list_people()[2].person.id
    correct(people, PeopleAction.IMPORTANT, "7", person_id=ignored)
    assert [one.person.is_important for one in people.list_people()].count(True) == 1
    people.assign()
    assert people.person(ignored) == Person(ignored, "", is_ignored=False, is_important=True)
    undo_people_correction(people, "7", "8", "")
    assert people.person(ignored).is_ignored
    people = add_photos(engine, "ab", start=6)
    assert digests(people)["Ben"].startswith("0")
    assert digests(people)["Anna"].startswith("1 2 3")
    for number in range(6):
        undo_people_correction(people, "", f"undo{number}", "")
    assert sorted(digests(people).values()) == ["0 1 2 6", "3 4 7", "5"]
    assert people.erase() == 8
    assert people.list_people() == []


def test_mistakes_are_refused(sqlite_engine: Engine) -> None:
    people = add_photos(sqlite_engine, "aab")
    first, other = who(people, 0), who(people, 2)
    correct(people, PeopleAction.NAME, "1", person_id=first, name="Anna")
    with pytest.raises(InvalidArgumentError, match="another person is called 'Anna'"):
        correct(people, PeopleAction.NAME, "2", person_id=other, name="Anna")
    with pytest.raises(InvalidArgumentError, match="line breaks"):
        correct(people, PeopleAction.NAME, "2", person_id=other, name="Be\nn")
    with pytest.raises(InvalidArgumentError, match="another person is called 'Anna'"):
        correct(people, PeopleAction.NAME, "2", person_id=other, name=" anna ")
    with pytest.raises(InvalidArgumentError, match="201 characters; at most 200"):
        correct(people, PeopleAction.NAME, "2", person_id=other, name="x" * 201)
    with pytest.raises(InvalidArgumentError, match="must not be empty"):
        correct(people, PeopleAction.NAME, "2", person_id=other, name="\N{ZERO WIDTH JOINER}")
    with pytest.raises(NotFoundError):
        correct(people, PeopleAction.IGNORE, "3", person_id="nobody")
    with pytest.raises(InvalidArgumentError, match="two different persons"):
        correct(people, PeopleAction.MERGE, "4", person_id=first, other_person_id=first)
    with pytest.raises(NotFoundError):
        correct(people, PeopleAction.NOT_PERSON, "5", person_id="no", faces=people.places(other))
    assert len(people.entries()) == 1


def test_an_undo_that_would_give_two_people_one_name_is_refused(engine: Engine) -> None:
    people = add_photos(engine, "aabb")
    first, other = who(people, 0), who(people, 2)
    correct(people, PeopleAction.NAME, "1", person_id=first, name="Anna")
    correct(people, PeopleAction.NAME, "2", person_id=first, name="Beth")
    correct(people, PeopleAction.NAME, "3", person_id=other, name="anna")
    with pytest.raises(FailedPreconditionError, match="another person is now called 'anna'"):
        undo_people_correction(people, "2", "4", "")
    assert digests(people) == {"Beth": "0 1", "anna": "2 3"}
    undo_people_correction(people, "3", "5", "")
    undo_people_correction(people, "2", "6", "")
    assert digests(people) == {"Anna": "0 1", "002": "2 3"}


def test_a_repeated_call_does_not_restore_an_old_name(engine: Engine) -> None:
    people = add_photos(engine, "a")
    for number, name in enumerate(("Anna", "Beth", "Anna")):
        correct(people, PeopleAction.NAME, f"{number % 2}", person_id=who(people, 0), name=name)
    assert digests(people) == {"Beth": "0"}


def test_a_name_whose_photos_were_deleted_stays_the_same_person(engine: Engine) -> None:
    people = add_photos(engine, "aabbcc")
    anna = who(people, 0)
    correct(people, PeopleAction.NAME, "1", person_id=anna, name="Anna")
    places = people.places(anna)
    deleted = [place.content_digest for place in places]
    with engine.begin() as connection:
        connection.execute(delete(features).where(features.c.content_digest.in_(deleted)))
    people.assign()
    correct(people, PeopleAction.NAME, "2", person_id=who(people, 2), name="anna")
    correct(people, PeopleAction.NAME, "3", person_id=who(people, 4), name="Cid")
    assert digests(people) == {"anna": "2 3", "Cid": "4 5"}
    people = add_photos(engine, "aa")
    assert digests(people) == {"anna": "0 1 2 3", "Cid": "4 5"}
    undo_people_correction(people, "2", "4", "")
    assert digests(people) == {"Anna": "0 1", "002": "2 3", "Cid": "4 5"}


STEP = st.tuples(
    st.sampled_from(["name", "name", "merge", "move", "mark", "undo", "undo"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from(["Anna", "ANNA", "Ben"]),
)


@settings(
    deadline=None,
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEP, min_size=4, max_size=8))
def test_names_are_unique_after_any_corrections(
    engine: Engine, steps: list[tuple[str, int, int, str]]
) -> None:
    with engine.begin() as connection:
        connection.execute(delete(people_log))
    people = add_photos(engine, "aabbc")
    for number, (action, one, other, name) in enumerate(steps):
        listed, entries = people.list_people(), people.entries()
        person = listed[one % len(listed)].person.id
        second = listed[other % len(listed)].person.id
        with contextlib.suppress(InvalidArgumentError, FailedPreconditionError):
            if action == "name":
                correct(people, PeopleAction.NAME, f"{number}", person_id=person, name=name)
            elif action == "merge":
                said = {"person_id": person, "other_person_id": second}
                correct(people, PeopleAction.MERGE, f"{number}", **said)
            elif action == "move":
                moved = people.places(person)[:1]
                correct(people, PeopleAction.MOVE, f"{number}", faces=moved, name=name)
            elif action == "mark":
                correct(people, PeopleAction.IMPORTANT, f"{number}", person_id=person)
            elif entries:
                undo_people_correction(people, entries[one % len(entries)].id, f"{number}", "")
        found = [one.person.name.casefold() for one in people.list_people() if one.person.name]
        assert len(set(found)) == len(found)
        kept = people.list_people()
        people.assign()  # as a later run does
        assert people.list_people() == kept


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (" Zoe\N{COMBINING DIAERESIS} ", "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}"),
        ("\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",) * 2,  # Persian names contain U+200C
        ("\N{MAN}\N{ZERO WIDTH JOINER}\N{GIRL}",) * 2,
        ("=../a",) * 2,
    ],
)
def test_names_of_all_scripts_are_kept(sqlite_engine: Engine, given: str, stored: str) -> None:
    people = add_photos(sqlite_engine, "a")
    correct(people, PeopleAction.NAME, "1", person_id=who(people, 0), name=given)
    assert digests(people) == {stored: "0"}


def test_an_answered_question_is_not_asked_again(sqlite_engine: Engine) -> None:
    cache = SqlFeatureCache(sqlite_engine, RunMetrics(CollectorRegistry()))
    for photo, (similarity, side) in enumerate([(1, 1), (1, 1), (0.36, 1), (0.36, -1)]):
        found = np.zeros(64, np.float32)
        found[:2] = similarity, side * (1 - similarity**2) ** 0.5
        face = IdentifiedFace(BOX, 1.0, found)
        cache.put({(f"{photo:03}", IDENTITY_ROLE, MODEL): pack_identities([face])})
    people = SqlPeople(sqlite_engine)
    people.use_model(MODEL, 0.4)
    assert people.questions(5) == []  # nobody has a name yet
    anna = who(people, 0)
    correct(people, PeopleAction.NAME, "1", person_id=anna, name="Anna")
    first, second = people.questions(5)
    assert (first.person.person.name, first.face_count) == ("Anna", 1)
    # yes to the first one, no to the second one
    merged = first.other_person_id
    correct(people, PeopleAction.MERGE, "2", person_id=anna, other_person_id=merged)
    no = [second.face.place]
    correct(people, PeopleAction.NOT_PERSON, "3", person_id=anna, faces=no)
    assert people.questions(5) == []
    assert digests(people) == {"Anna": "0 1 2", "003": "3"}


def test_simultaneous_corrections_are_all_applied(engine: Engine) -> None:
    people = add_photos(engine, "abcdefgh")
    ids = [who(people, photo) for photo in range(8)]

    def name(number: int) -> None:
        own = SqlPeople(engine)
        correct(own, PeopleAction.NAME, f"{number}", person_id=ids[number], name=f"N{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(name, range(8)))
    assert digests(people) == {f"N{number}": f"{number}" for number in range(8)}


def test_vectors_go_with_the_only_album_that_has_their_photos(engine: Engine) -> None:
    people = add_photos(engine, "aab")
    store = SqlRunStore(engine)
    for name, photos in {"one": (0, 1), "both": (1, 2)}.items():
        store.add_album(album(name))
        shown = [image(f"{photo}.jpg", content_digest=f"{photo:03}") for photo in photos]
        store.save_results(run(name, name), shown)
    store.delete_album("one")
    assert digests(people) == {"001": "1", "002": "2"}
    people.use_model(MODEL, 0.4)  # reads the vectors again
    assert digests(people) == {"001": "1", "002": "2"}


def test_vectors_go_with_the_only_run_that_has_their_photos(engine: Engine) -> None:
    people = add_photos(engine, "aab")
    store = SqlRunStore(engine)
    store.add_album(album("album"))
    for name, photos in {"one": (0, 1), "both": (1, 2)}.items():
        shown = [image(f"{photo}.jpg", content_digest=f"{photo:03}") for photo in photos]
        store.save_results(run(name, "album"), shown)
    store.delete_run("one")
    assert digests(people) == {"001": "1", "002": "2"}


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_deleting_an_album_leaves_no_vector_on_disk_or_in_backups(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    add_photos(sqlite_engine, "aab" * 20)
    stored = [base64.b64encode(vector(0, photo).tobytes())[8:40] for photo in (0, 30, 57)]
    store = SqlRunStore(sqlite_engine)
    store.add_album(album("one"))
    shown = [image(f"{photo}.jpg", content_digest=f"{photo:03}") for photo in range(60)]
    store.save_results(run("one", "one"), shown)
    assert all(one in on_disk(tmp_path) for one in stored)
    store.delete_album("one")
    assert not any(one in on_disk(tmp_path) for one in stored)
    backups = tmp_path / "backups"
    backups.mkdir()
    with sqlite3.connect(backups / "backup.db") as backup:
        connection = sqlite_engine.raw_connection()
        connection.driver_connection.backup(backup)  # type: ignore[union-attr]
        connection.close()
    backup.close()
    assert not any(one in on_disk(backups) for one in stored)


def test_erasing_leaves_no_vector_on_disk(sqlite_engine: Engine, tmp_path: Path) -> None:
    people = add_photos(sqlite_engine, "aab" * 20)
    stored = [base64.b64encode(vector(0, photo).tobytes())[8:40] for photo in (0, 30, 57)]
    assert all(one in on_disk(tmp_path) for one in stored)
    correct(people, PeopleAction.NAME, "1", person_id=who(people, 0), name="Anna")
    assert people.erase() == 60
    assert not any(one in on_disk(tmp_path) for one in stored)
    assert people.list_people() == []
    assert digests(add_photos(sqlite_engine, "aab")) == {"Anna": "0 1", "002": "2"}
