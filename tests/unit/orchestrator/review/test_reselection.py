"""Applying decisions to a stored run gives the same result as a new selection."""

from __future__ import annotations

import dataclasses
import random
import uuid

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from orchestrator import features as codec
from orchestrator.config import PipelineConfig, resolve_auto
from orchestrator.domain.decisions import DecisionAction, DecisionEntry
from orchestrator.domain.people.corrections import PeopleAction
from orchestrator.domain.people.faces import Box, IdentifiedFace
from orchestrator.metrics import RunMetrics
from orchestrator.records import Album, ImageRecord, Run, RunState, summarize, utc_now
from orchestrator.review.decision_entries import add_decisions
from orchestrator.review.explain_photo import explain_photo
from orchestrator.review.people_entries import Correction, correct_people
from orchestrator.review.reselection import Stores, reselect
from orchestrator.runs.recorded_settings import read_penalties, record_config
from orchestrator.runs.selection import (
    add_verdicts,
    assign_moments,
    build_selection,
    find_moments,
)
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.people_store import IDENTITY_ROLE, SqlPeople
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import FailedPreconditionError, InvalidArgumentError
from tests.conftest import ROOT
from tests.unit.values import entry, face, quality

CALIBRATION = (0.4, 0.3)
MOMENTS, SHOTS = 4, 3
DIGESTS = [f"{moment}{shot}" for moment in range(MOMENTS) for shot in range(SHOTS)]


@pytest.fixture
def stores(engine: Engine) -> Stores:
    cache = SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    return Stores(SqlRunStore(engine), SqlDecisionLog(engine), cache, SqlPeople(engine))


@pytest.fixture
def run(stores: Stores) -> Run:
    """A completed run with moments of three shots each."""
    rng = random.Random(3)
    settings = PipelineConfig(ROOT / "configs", "builtin").load()
    vectors = np.repeat(np.eye(MOMENTS, 16, dtype=np.float32), SHOTS, axis=0)
    vectors += np.random.default_rng(3).normal(scale=0.05, size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    photos = [
        ImageRecord(f"{digest}.jpg", digest, 1, quality=quality(ava_score=rng.uniform(4, 8)))
        for digest in DIGESTS
    ]
    parameters = resolve_auto(settings.cluster_scenes, CALIBRATION)
    miniatures = np.full((len(photos), 32, 32), np.nan, np.float32)
    found = find_moments(vectors, miniatures, photos, parameters, settings.keep_sets)
    assert set(found.labels) == set(range(MOMENTS))
    in_moments = assign_moments(photos, found, ())
    records = add_verdicts(in_moments, build_selection(in_moments, vectors, settings, {}), {})
    made = Run(
        id="r",
        album_id="a",
        state=RunState.COMPLETED,
        profile="builtin",
        config=record_config(settings, CALIBRATION),
        models={"embedding": {"digest": "m"}},
        versions={},
        create_time=utc_now(),
        summary=summarize(records, 0, 1.0),
    )
    stores.runs.add_album(Album("a", "a", "/a", utc_now()))
    stores.runs.save_results(made, records)
    stores.cache.put(
        {
            (digest, codec.EMBEDDING_ROLE, "m"): codec.pack_embedding(vector)
            for digest, vector in zip(DIGESTS, vectors, strict=True)
        }
    )
    return made


def decide(stores: Stores, *entries: DecisionEntry) -> list[str]:
    """Adds entries, and returns the paths of photos whose result changed."""
    _, update = add_decisions(stores, "a", entries, stores.runs.run("r"))
    return [record.path for record in update.changed]


STEPS = [
    [entry("1", DecisionAction.REJECT, "00", "01")],
    [entry("2", DecisionAction.KEEP, "12")],
    [entry("3", DecisionAction.MERGE, "00", "12")],
    [entry("4", DecisionAction.SPLIT, "20"), entry("5", DecisionAction.KEEP, "31")],
    [entry("6", DecisionAction.MOVE, "21", target="30")],
    [entry("7", DecisionAction.UNDO, undone_id="3")],
    [entry("8", DecisionAction.UNDO, undone_id="1"), entry("9", DecisionAction.CLEAR, "12")],
    [entry("10", DecisionAction.RATE, "00", stars=2), entry("11", DecisionAction.REJECT, "20")],
    [entry("12", DecisionAction.LABEL, "30", "31", label="red")],
    [entry("13", DecisionAction.UNDO, undone_id="12")],
]


def test_a_run_equals_a_new_selection_with_the_same_decisions(stores: Stores, run: Run) -> None:
    for number, entries in enumerate(STEPS):
        before = stores.runs.images("r")
        changed = decide(stores, *entries)
        after = stores.runs.images("r")
        assert changed
        assert set(changed) <= {
            new.path for new, old in zip(after, before, strict=True) if new != old
        }
        made = reselect(stores, run, {}, f"new-{number}").run
        assert stores.runs.images(made.id) == after
        stored = stores.runs.run("r")
        assert (stored.decisions, stored.corrections) == (made.decisions, made.corrections)
        assert stored.summary is not None
        assert made.summary is not None
        assert stored.summary.selected_count == made.summary.selected_count


WHO = {digest: ("Cid" if digest[1] == "2" else "Ann") for digest in DIGESTS} | {"32": "Ben"}
WITH_PEOPLE = {"people": {"enabled": True}}


@pytest.fixture
def people(stores: Stores, run: Run) -> SqlPeople:
    """Three named persons in the run's photos: Ann, Cid on the last shots, and Ben on one."""
    names = sorted(set(WHO.values()))
    shown = []
    for record in stores.runs.images(run.id):
        who = WHO[record.content_digest]
        vector = np.eye(3, dtype=np.float32)[names.index(who)]
        found = [IdentifiedFace(Box(0.1, 0.1, 0.2, 0.2), 1.0, vector)]
        key = (record.content_digest, IDENTITY_ROLE, "i")
        stores.cache.put({key: codec.pack_identities(found)})
        stranger = face(left=0.6, eyes_score=0.0)
        shown.append(dataclasses.replace(record, faces=(face(), stranger)))
    stores.runs.save_results(run, shown)
    stores.people.use_model("i", 0.4)
    for person, digest in zip(names, ("00", "32", "02"), strict=True):
        say(stores, PeopleAction.NAME, digest, name=person)
    return stores.people


def say(stores: Stores, action: PeopleAction, digest: str, **values: str) -> None:
    """Says something about the person in a photo."""
    (known,) = stores.people.who_is_on({digest})[0][digest]
    said = Correction(action, person_id=known[1], **values)
    correct_people(stores.people, said, uuid.uuid4().hex)


def test_without_the_setting_persons_change_nothing(
    stores: Stores, run: Run, people: SqlPeople
) -> None:
    before = reselect(stores, run, {}, "before").run
    say(stores, PeopleAction.IMPORTANT, "00")
    after = reselect(stores, run, {}, "after").run
    assert stores.runs.images(after.id) == stores.runs.images(before.id)
    assert after.persons == {}
    assert not any(record.person_ids for record in stores.runs.images(after.id))
    for used in ({"people": {"split_moments": True}}, {"select_best": {"goal": EVERYBODY}}):
        with pytest.raises(InvalidArgumentError) as caught:
            reselect(stores, run, used, "")
        assert "needs people.enabled: true" in caught.value.message
        assert "got" not in caught.value.message


EVERYBODY = {"pick": "everybody"}


def test_what_needs_people_is_refused_where_no_photo_was_searched(stores: Stores, run: Run) -> None:
    for used in ({"select_best": {"goal": EVERYBODY}}, {"people": {"split_moments": True}}):
        used = {**used, "people": {"enabled": True, **used.get("people", {})}}
        with pytest.raises(FailedPreconditionError, match="no run has searched them for people"):
            reselect(stores, run, used, "")
    made = reselect(stores, run, WITH_PEOPLE, "new").run
    assert made.notes == (
        "People are unknown in 12 photos of 12, which no run with people.enabled has searched.",
    )


def test_a_goal_that_finds_nobody_says_so(stores: Stores, run: Run) -> None:
    for record in stores.runs.images(run.id):
        key = (record.content_digest, IDENTITY_ROLE, "i")
        stores.cache.put({key: codec.pack_identities([])})
    stores.people.use_model("i", 0.4)
    used = {**WITH_PEOPLE, "select_best": {"goal": EVERYBODY}}
    (note,) = stores.runs.run(reselect(stores, run, used, "new").run.id).notes
    assert note.startswith("The goal `everybody` added nothing: nobody in these photos is named")


def test_moments_are_split_by_who_is_on_them(stores: Stores, run: Run, people: SqlPeople) -> None:
    used = {"people": {"enabled": True, "split_moments": True}}
    made = reselect(stores, run, used, "split").run
    found = {record.content_digest: record for record in stores.runs.images(made.id)}
    for digest in DIGESTS:
        first = found[f"{digest[0]}0"]
        is_together = WHO[digest] == WHO[first.content_digest]
        assert (found[digest].cluster_id == first.cluster_id) == is_together
        assert found[digest].whole_moment_id == int(digest[0])
        assert found[digest].moment_people == WHO[digest]
        assert found[digest].is_selected or is_together
    assert sorted(person["name"] for person in made.persons.values()) == ["Ann", "Ben", "Cid"]
    explained = explain_photo(stores.runs, stores.cache, made, "02.jpg")
    assert explained.grouping_text.startswith("Grouped with 2 others")
    assert explained.grouping_text.endswith("this part shows Cid.")
    whole = reselect(stores, made, {"people": {"split_moments": False}}, "whole").run
    assert not any(record.moment_people for record in stores.runs.images(whole.id))


def test_everybody_gets_a_pick_and_the_run_keeps_who_was_where(
    stores: Stores, run: Run, people: SqlPeople
) -> None:
    used = {**WITH_PEOPLE, "select_best": {"goal": EVERYBODY, "max_images_per_cluster": 1}}
    made = reselect(stores, run, used, "everybody").run
    before = stores.runs.images(made.id)
    assert {WHO[record.content_digest] for record in before if record.is_selected} == {
        *WHO.values()
    }
    brought = [record for record in before if record.brought_in_for]
    assert all(record.reason_code == "SELECTED_FOR_PERSON" for record in brought)
    assert "32" in {record.content_digest for record in before if record.is_selected}
    say(stores, PeopleAction.IGNORE, "32")
    _, update = add_decisions(
        stores, "a", [entry("1", DecisionAction.REJECT, "32")], stores.runs.run(made.id)
    )
    assert [record.content_digest for record in update.changed] == ["32"]
    again = reselect(stores, made, {}, "again").run
    assert [one["name"] for one in again.persons.values() if one["is_ignored"]] == ["Ben"]


def test_a_strangers_closed_eyes_do_not_count_beside_important_persons(
    stores: Stores, run: Run, people: SqlPeople
) -> None:
    first = stores.runs.images(reselect(stores, run, WITH_PEOPLE, "first").run.id)
    assert all(record.face_faults == ("eyes_closed",) for record in first)
    say(stores, PeopleAction.IMPORTANT, "00")
    made = reselect(stores, run, WITH_PEOPLE, "second").run
    for record in stores.runs.images(made.id):
        is_judged = WHO[record.content_digest] == "Ann"
        assert record.judged_faces == ((0,) if is_judged else (1,))
        assert bool(record.face_faults) != is_judged
        signs = record.face_signs(read_penalties(made))
        assert [sign.is_prominent for sign in signs] == [is_judged, not is_judged]
    explained = explain_photo(stores.runs, stores.cache, made, "00.jpg")
    assert "Only the faces of Ann count" in " ".join(explained.lines)


def test_a_repeated_entry_changes_nothing(stores: Stores, run: Run) -> None:
    assert decide(stores, *STEPS[0])
    assert decide(stores, *STEPS[0]) == []


def test_a_moment_with_only_a_new_number_is_not_reported(stores: Stores, run: Run) -> None:
    changed = decide(stores, entry("1", DecisionAction.SPLIT, "00", "01", "02"))
    assert changed == []
    changed = decide(stores, entry("2", DecisionAction.MERGE, "00", "10"))
    assert {path[0] for path in changed} <= {"0", "1"}
    numbers = {record.path[0]: record.cluster_id for record in stores.runs.images("r")}
    assert numbers == {"0": 0, "1": 0, "2": 1, "3": 2}
