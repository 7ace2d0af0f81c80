from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from orchestrator.data_folder import DATABASE_NAME
from orchestrator.domain.decisions import (
    DecidedPhoto,
    DecisionAction,
    DecisionEntry,
    decisions_in,
)
from orchestrator.domain.photo import Decision, UserMark
from orchestrator.domain.scoring import FaceFault
from orchestrator.export.output_folder import open_output
from orchestrator.metrics import RunMetrics
from orchestrator.records import (
    Album,
    ImageFilter,
    ImageRecord,
    Run,
    RunState,
    StageProgress,
    utc_now,
)
from orchestrator.storage import database
from orchestrator.storage.database import (
    DatabaseUnavailableError,
    lock_folder,
    migrate,
    open_database,
    open_postgresql,
)
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.image_query import ImageQuery
from orchestrator.storage.photo_source import FolderPhotoSource, check_allowed
from orchestrator.storage.results_manifest import MANIFEST_NAME
from orchestrator.storage.rows import album_values
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.storage.tables import metadata
from orchestrator.storage.uploads import Upload, count_photos, remove_abandoned_uploads
from services.common.errors import (
    ConfigError,
    FailedPreconditionError,
    InvalidArgumentError,
    InvalidImageError,
    NotFoundError,
    UnavailableError,
)
from tests.conftest import ROOT
from tests.integration.up import free_ports
from tests.postgresql import PASSWORD, Postgresql, find_binaries, running_postgresql
from tests.unit.values import entry, face, quality

TIME = datetime.datetime(2026, 5, 17, 10, 0, tzinfo=datetime.UTC)


@pytest.fixture
def store(engine: Engine) -> SqlRunStore:
    return SqlRunStore(engine)


@pytest.fixture
def log(engine: Engine) -> SqlDecisionLog:
    return SqlDecisionLog(engine)


def album(name: str = "a") -> Album:
    return Album(id=name, display_name=name, folder=f"/photos/{name}", create_time=TIME)


def run(run_id: str = "r", album_id: str = "a", **changes: object) -> Run:
    values = {
        "state": RunState.COMPLETED,
        "profile": "builtin",
        "config": {"a": {"b": 0.1}},
        "models": {"face": {"id": "f"}},
        "versions": {"numpy": "2"},
        "create_time": TIME,
        "stages": (StageProgress("score", 1, 2, 0, 1, 0.5),),
        "notes": ("A note.",),
        **changes,
    }
    return Run(id=run_id, album_id=album_id, **values)  # type: ignore[arg-type]


def test_runs_of_version_0_1_0_still_show_models_with_heuristics(store: SqlRunStore) -> None:
    old = {"quality": {"id": "builtin-quality"}, "siamese": {"id": "builtin-siamese"}}
    new = {"quality": {"id": "builtin-quality", "is_heuristic": False}}
    store.add_album(album())
    for run_id, models in (("old", old), ("new", new)):
        store.save_run(run(run_id, models=models))
    found = {role: model["is_heuristic"] for role, model in store.run("old").models.items()}
    assert found == {"quality": True, "siamese": False}
    assert store.run("new").models == new


def image(path: str, **changes: object) -> ImageRecord:
    values = {"content_digest": f"digest of {path}", "size_bytes": 5, **changes}
    return ImageRecord(path=path, **values)  # type: ignore[arg-type]


def test_only_older_tables_need_alembic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alembic.command", None)
    for _ in range(2):
        engine = open_database(tmp_path)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0021'")
    engine.dispose()
    with pytest.raises(ImportError):
        open_database(tmp_path)


def describe_tables(connection: Connection) -> dict[str, Any]:
    """Returns all that the database knows about its tables, and the rows that new ones have."""
    inspector = inspect(connection)
    tables: dict[str, Any] = {}
    for name in inspector.get_table_names():
        tables[name] = (
            sorted(map(repr, inspector.get_columns(name))),
            inspector.get_pk_constraint(name),
            sorted(map(repr, inspector.get_foreign_keys(name))),
            sorted(map(repr, inspector.get_indexes(name))),
            sorted(map(repr, inspector.get_unique_constraints(name))),
            connection.execute(text(f'SELECT * FROM "{name}"')).all(),
        )
    return tables


def configure(connection: Connection) -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(ROOT / "orchestrator/storage/migrations"))
    config.attributes["connection"] = connection
    return config


def test_new_databases_have_the_tables_that_migrations_create(own_engine: Engine) -> None:
    with own_engine.begin() as connection:
        created = describe_tables(connection)
        alembic.command.downgrade(configure(connection), "base")
        assert not set(metadata.tables) & set(inspect(connection).get_table_names())
        alembic.command.upgrade(configure(connection), "head")
        assert describe_tables(connection) == created
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_migration_that_fails_changes_nothing(own_engine: Engine) -> None:
    with own_engine.begin() as connection:
        alembic.command.downgrade(configure(connection), "0015")
        connection.execute(text("CREATE TABLE identity_erasures (id INTEGER)"))
        before = describe_tables(connection)
    with pytest.raises(DBAPIError, match="identity_erasures"):
        migrate(own_engine)
    with own_engine.connect() as connection:
        assert describe_tables(connection) == before


def test_decisions_from_before_the_log_are_in_the_log(own_engine: Engine) -> None:
    with own_engine.begin() as connection:
        alembic.command.downgrade(configure(connection), "0003")
        connection.execute(metadata.tables["albums"].insert().values(album_values(album())))
        connection.execute(
            metadata.tables["decisions"]
            .insert()
            .values(album_id="a", content_digest="d", decision="reject", create_time=TIME)
        )
    migrate(own_engine)
    log = SqlDecisionLog(own_engine)
    assert decisions_in(log.entries("a")) == log.decisions("a") == {"d": Decision.REJECT}
    assert log.append("a", [entry("2", DecisionAction.KEEP, "d")]) == 1


def test_runs_stored_without_faults_get_faults_for_their_own_thresholds(own_engine: Engine) -> None:
    store = SqlRunStore(own_engine)
    store.add_album(album())
    scores = {"pose_score": 0.9, "eyes_score": 0.4, "smile_score": 0.2}
    for run_id, threshold in (("lenient", 0.3), ("strict", 0.5)):
        config = {"select_best": {"person_penalties": {"eyes_threshold": threshold}}}
        one = dataclasses.replace(run(run_id), config=config)
        store.save_results(one, [image("a.jpg", **scores), image("b.jpg")])
    with own_engine.begin() as connection:
        alembic.command.downgrade(configure(connection), "0007")
    migrate(own_engine)
    assert store.image("lenient", "a.jpg").face_faults == (FaceFault.NOT_SMILING,)
    assert store.image("strict", "a.jpg").face_faults == (
        FaceFault.EYES_CLOSED,
        FaceFault.NOT_SMILING,
    )
    assert store.image("strict", "b.jpg").face_faults == ()


def test_an_existing_id_with_different_content_is_refused_and_nothing_is_added(
    engine: Engine,
) -> None:
    SqlRunStore(engine).add_album(album())
    log = SqlDecisionLog(engine)
    first = entry("1", DecisionAction.KEEP, "d")
    assert log.append("a", [first, first]) == 1
    changed = entry("1", DecisionAction.REJECT, "d")
    with pytest.raises(InvalidArgumentError, match=r"entry 3 of 3: .* already has an entry '1'"):
        log.append("a", [first, entry("2", DecisionAction.KEEP, "e"), changed])
    assert log.entries("a") == [first]


def test_a_long_chain_of_undos_is_added_at_once(engine: Engine) -> None:
    SqlRunStore(engine).add_album(album())
    chain = [entry("0", DecisionAction.KEEP, "d")]
    for number in range(1, 3002):
        chain.append(entry(str(number), DecisionAction.UNDO, undone_id=str(number - 1)))
    log = SqlDecisionLog(engine)
    assert log.append("a", chain) == 3002
    assert log.decisions("a") == {}


def test_the_database_is_durable(tmp_path: Path) -> None:
    engine = open_database(tmp_path)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert sqlite3.connect(tmp_path / "bestshot.db").execute("SELECT count(*) FROM runs")


@pytest.mark.slow
def test_opening_twice_keeps_the_data(tmp_path: Path, postgresql: Postgresql) -> None:
    def open_twice(opened: Callable[[], Engine]) -> None:
        first, again = opened(), opened()
        SqlRunStore(first).add_album(album())
        first.dispose()
        assert SqlRunStore(again).album("a") == album()
        again.dispose()

    open_twice(lambda: open_database(tmp_path))
    with postgresql.database() as url:
        open_twice(lambda: open_postgresql(url, None))


@pytest.mark.slow
def test_orchestrators_that_start_simultaneously_migrate_once(postgresql: Postgresql) -> None:
    with postgresql.database() as url, ThreadPoolExecutor(4) as threads:
        engines = list(threads.map(lambda _: open_postgresql(url, None), range(4)))
        SqlRunStore(engines[0]).add_album(album())
        assert all(SqlRunStore(engine).album("a") == album() for engine in engines)
        for engine in engines:
            engine.dispose()


def test_a_database_of_a_newer_bestshot_is_refused(own_engine: Engine, tmp_path: Path) -> None:
    with own_engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="created by a newer version of bestshot"):
        migrate(own_engine)


@pytest.mark.slow
def test_a_backup_is_restored(tmp_path: Path, postgresql: Postgresql) -> None:
    (tmp_path / "copy").mkdir()
    engine = open_database(tmp_path)
    SqlRunStore(engine).add_album(album())
    with (
        contextlib.closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as source,
        contextlib.closing(sqlite3.connect(tmp_path / "copy" / DATABASE_NAME)) as copy,
    ):
        source.backup(copy)
    engine.dispose()
    restored = open_database(tmp_path / "copy")
    assert SqlRunStore(restored).album("a") == album()
    restored.dispose()
    with postgresql.database() as url, postgresql.database() as other:
        engine = open_postgresql(url, None)
        SqlRunStore(engine).add_album(album())
        engine.dispose()
        dump = str(tmp_path / "bestshot.dump")
        for command in (
            ["pg_dump", "--format=custom", f"--file={dump}", url],
            ["pg_restore", "--no-owner", f"--dbname={other}", dump],
        ):
            subprocess.run([find_binaries() / command[0], *command[1:]], check=True)
        restored = open_postgresql(other, None)
        assert SqlRunStore(restored).album("a") == album()
        restored.dispose()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("no url", "is not a URL"),
        ("sqlite:///x.db", "must begin with postgresql://"),
        ("mysql://a@b/c", "must begin with postgresql://"),
        ("postgresql://a@b/c?sslmod=require", "'sslmod' is not a libpq option"),
    ],
)
def test_the_error_for_a_wrong_database_url_names_the_right_form(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        open_postgresql(url, None)


@pytest.mark.slow
def test_the_password_comes_from_a_file_and_never_appears(
    tmp_path: Path, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "START_WAIT_S", 0.0)
    url = f"postgresql://bestshot@{postgresql.address}/postgres"
    password = tmp_path / "password"
    with pytest.raises(ConfigError, match="cannot read"):
        open_postgresql(url, password)
    password.write_text("")
    with pytest.raises(ConfigError, match="first line"):
        open_postgresql(url, password)
    password.write_text("wrong-secret\n")
    with pytest.raises(ConfigError, match="password authentication failed") as caught:
        open_postgresql(url, password)
    assert "wrong-secret" not in caught.value.message
    with postgresql.database() as made:
        password.write_text(f"{PASSWORD}\n")
        open_postgresql(made.replace(f":{PASSWORD}", ""), password).dispose()


@pytest.mark.slow
def test_a_database_that_goes_away_is_reported_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    with running_postgresql("127.0.0.1", port) as server:
        engine = open_postgresql(server.url("postgres"), None)
        store = SqlRunStore(engine)
        store.add_album(album())
    with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
        store.album("a")
    with running_postgresql("127.0.0.1", port) as server:
        again = open_postgresql(server.url("postgres"), None)
        with pytest.raises(NotFoundError):  # a different database, but one that answers
            store.album("a")
        again.dispose()
    engine.dispose()


def test_a_run_is_read_back_as_it_was_stored(store: SqlRunStore) -> None:
    store.add_album(album())
    store.save_run(run(state=RunState.RUNNING))
    store.save_run(run(revision=3, error="gone", end_time=utc_now()))
    stored = store.run("r")
    assert stored.state is RunState.COMPLETED
    assert (stored.revision, stored.error) == (3, "gone")
    assert stored.stages == run().stages
    assert stored.create_time == TIME
    with pytest.raises(NotFoundError, match="no run 'x'"):
        store.run("x")


def test_a_result_is_read_back_as_it_was_stored(store: SqlRunStore) -> None:
    store.add_album(album())
    records = [
        image(
            "a.jpg",
            quality=quality(iqa_score=1 / 3, ava_distribution=(0.1, 0.9)),
            faces=(face(pitch_degrees=None), face(eyes_score=1e-300)),
            pose_score=0.1 + 0.2,
            cluster_id=-1,
            composite_score=-0.123456789012345678,
            is_selected=True,
            reason_code="SELECTED_BEST",
            reason="Selected.",
        ),
        image("sub/ü b.jpg", error="torn"),
    ]
    store.save_results(run(), records)
    assert store.images("r") == records
    assert store.image("r", "sub/ü b.jpg") == records[1]
    assert store.images("r", ImageQuery([ImageFilter.SELECTED])) == records[:1]
    assert store.images("r", ImageQuery(cluster_id=-1)) == records[:1]
    assert store.images("r", limit=1, offset=1) == records[1:]
    assert store.count_images("r", ImageQuery([ImageFilter.SELECTED])) == 1


def test_results_are_replaced_completely(store: SqlRunStore) -> None:
    store.add_album(album())
    store.save_results(run(), [image("a"), image("b")])
    store.save_results(run(), [image("c")])
    assert [record.path for record in store.images("r")] == ["c"]


def test_there_is_one_album_per_folder(store: SqlRunStore) -> None:
    first = store.add_album(album())
    again = Album(id="other", display_name="x", folder=first.folder, create_time=TIME)
    assert store.add_album(again) == first


def test_runs_are_listed_newest_first(store: SqlRunStore) -> None:
    store.add_album(album("a"))
    store.add_album(album("b"))
    store.save_run(run("old", create_time=TIME))
    store.save_run(run("new", create_time=TIME + datetime.timedelta(seconds=1)))
    store.save_run(run("elsewhere", album_id="b"))
    assert [found.id for found in store.list_runs("a", 10, 0)] == ["new", "old"]
    assert len(store.list_runs("", 10, 0)) == 3
    assert [found.id for found in store.list_runs("a", 10, 1)] == ["old"]


def test_deleting_an_album_deletes_its_runs_results_and_decisions(
    store: SqlRunStore, log: SqlDecisionLog
) -> None:
    store.add_album(album())
    store.save_results(run(), [image("a")])
    log.append("a", [entry("e", DecisionAction.KEEP, "digest of a")])
    store.delete_album("a")
    assert store.list_albums(10, 0) == []
    assert store.list_runs("", 10, 0) == []
    assert store.images("r") == []
    assert log.entries("a") == []
    assert log.decisions("a") == {}


def test_a_deleted_run_leaves_decisions_and_other_runs(
    store: SqlRunStore, log: SqlDecisionLog
) -> None:
    store.add_album(album())
    first = run("first", reference_run_id="")
    later = run("later", reference_run_id="first", source_run_id="first")
    active = dataclasses.replace(run("active"), state=RunState.RUNNING)
    for one in (first, later, active):
        store.save_results(one, [image("a")])
    log.append("a", [entry("e", DecisionAction.KEEP, "digest of a")])
    with pytest.raises(FailedPreconditionError, match="reference of run later"):
        store.delete_run("first")
    with pytest.raises(FailedPreconditionError, match="cancel it first"):
        store.delete_run("active")
    with pytest.raises(NotFoundError):
        store.delete_run("none")
    store.delete_run("later")
    store.delete_run("first")
    assert [one.id for one in store.list_runs("a", 10, 0)] == ["active"]
    assert store.images("first") == store.images("later") == []
    assert len(store.images("active")) == len(log.entries("a")) == len(log.decisions("a")) == 1


def test_stars_and_labels_belong_to_the_album_and_show_in_all_its_runs(
    store: SqlRunStore, log: SqlDecisionLog
) -> None:
    store.add_album(album())
    store.save_results(run(), [image("a"), image("b")])
    log.append("a", [entry("1", DecisionAction.RATE, "digest of a", stars=3)])
    store.save_results(dataclasses.replace(run(), id="later"), [image("a")])
    log.append("a", [entry("2", DecisionAction.LABEL, "digest of a", label="green")])
    for run_id in ("r", "later"):
        assert store.image(run_id, "a").user_mark == UserMark(3, "green")
    assert [one.user_mark for one in store.images("r")] == [UserMark(3, "green"), UserMark()]
    log.append("a", [entry("3", DecisionAction.UNDO, undone_id="1")])
    assert store.images("later")[0].user_mark == UserMark(0, "green")
    assert store.clusters_of("r", ["digest of a"])[0].user_mark == UserMark(0, "green")


def test_added_log_entries_are_read_back_completely(
    store: SqlRunStore, log: SqlDecisionLog
) -> None:
    store.add_album(album())
    store.add_album(album("b"))
    entries = [
        entry("1", DecisionAction.KEEP, "d"),
        entry("2", DecisionAction.REJECT, "d", "e"),
        entry("3", DecisionAction.MOVE, "d", target="f"),
        entry("4", DecisionAction.UNDO, undone_id="2"),
        entry("5", DecisionAction.CLEAR, "d"),
        entry("6", DecisionAction.RATE, "d", stars=3),
        entry("7", DecisionAction.LABEL, "d", label="red"),
    ]
    wanted: list[dict[str, Decision]] = [
        {"d": Decision.KEEP},
        dict.fromkeys("de", Decision.REJECT),
        dict.fromkeys("de", Decision.REJECT),
        {"d": Decision.KEEP},
        {},
        {},
        {},
    ]
    for number, state in enumerate(wanted):
        assert log.append("a", [entries[number]]) == 1
        assert log.decisions("a") == state
    assert log.entries("a") == entries
    assert log.append("a", entries) == 0, "existing entries are skipped"
    assert log.append("b", entries) == 7, "each album has its own"


def several(*names: str) -> Album:
    first, *others = (f"/photos/{name}" for name in names)
    return Album("+".join(names), "", first, TIME, tuple(others))


def decide(log: SqlDecisionLog, album_id: str, minute: int, made: DecisionEntry) -> None:
    time = TIME + datetime.timedelta(minutes=minute)
    assert log.append(album_id, [dataclasses.replace(made, create_time=time)]) == 1


def test_an_album_that_gains_a_folder_keeps_its_decisions(
    store: SqlRunStore, log: SqlDecisionLog
) -> None:
    for name in "abc":
        store.add_album(album(name))
    decide(log, "a", 1, entry("1", DecisionAction.REJECT, "x"))
    decide(log, "a", 3, entry("2", DecisionAction.KEEP, "both", "y"))
    decide(log, "a", 4, entry("3", DecisionAction.UNDO, undone_id="1"))
    decide(log, "b", 2, entry("4", DecisionAction.REJECT, "both"))
    decide(log, "c", 5, entry("5", DecisionAction.REJECT, "y"))
    store.add_album(several("a", "b"))
    assert [one.id for one in log.entries("a+b")] == ["1", "4", "2", "3"]
    assert log.decisions("a+b") == dict.fromkeys(("both", "y"), Decision.KEEP)
    assert log.append("a+b", log.entries("a")) == 0, "an exported log can still be imported"
    decide(log, "a", 6, entry("6", DecisionAction.CLEAR, "y"))
    store.add_album(several("a", "b"))
    assert len(log.entries("a+b")) == 4, "only a new album takes them over"


def test_an_album_that_loses_a_folder_keeps_the_decisions_about_the_rest(
    store: SqlRunStore, log: SqlDecisionLog
) -> None:
    store.add_album(several("a", "b"))
    decide(log, "a+b", 1, photos_entry("1", DecisionAction.REJECT, "a/1.jpg"))
    decide(log, "a+b", 2, photos_entry("2", DecisionAction.REJECT, "b/1.jpg"))
    decide(log, "a+b", 3, entry("3", DecisionAction.UNDO, undone_id="2"))
    store.add_album(album("a"))
    assert [one.id for one in log.entries("a")] == ["1"]
    assert log.decisions("a") == {"digest of a/1.jpg": Decision.REJECT}


def photos_entry(entry_id: str, action: DecisionAction, path: str) -> DecisionEntry:
    made = entry(entry_id, action, f"digest of {path}")
    return dataclasses.replace(made, photos=(DecidedPhoto(f"digest of {path}", path),))


def test_a_log_adds_all_entries_or_none(store: SqlRunStore, log: SqlDecisionLog) -> None:
    store.add_album(album())
    good, bad = entry("1", DecisionAction.KEEP, "d"), entry("2", DecisionAction.MERGE, "d")
    with pytest.raises(InvalidArgumentError, match="entry 2 of 2: merge needs at least 2 photos"):
        log.append("a", [good, bad])
    assert log.entries("a") == []
    with pytest.raises(NotFoundError):
        log.append("nowhere", [good])


def test_a_log_with_several_writers_loses_nothing(store: SqlRunStore, log: SqlDecisionLog) -> None:
    store.add_album(album())

    def add(writer: int) -> None:
        for number in range(10):
            log.append("a", [entry(f"{writer}-{number}", DecisionAction.KEEP, f"{writer}")])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert len(log.entries("a")) == 40
    assert log.decisions("a") == {str(writer): Decision.KEEP for writer in range(4)}


def source_of(folder: Path, *names: str) -> FolderPhotoSource:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return FolderPhotoSource(folder, max_pixels=1)


def test_companion_files_are_not_photos(tmp_path: Path) -> None:
    source = source_of(
        tmp_path,
        *("pair.JPG", "pair.cr2", "live.heic", "live.MOV", "live.aae", "alone.dng", "film.mov"),
        *("edit.psd", "edit.nef", "edit.mov", "new.jxl", "new.jpg"),
        *("two.jpg", "two.heic", "two.nef", "raws.cr2", "raws.dng", "sub/pair.arw", "letter.txt"),
    )
    found = {photo.path: photo.companion_paths for photo in source.list_photos()}
    assert found == {
        "alone.dng": (),
        "edit.nef": ("edit.mov",),
        "edit.psd": (),
        "new.jpg": (),
        "new.jxl": (),
        "live.heic": ("live.MOV", "live.aae"),
        "pair.JPG": ("pair.cr2",),
        "raws.cr2": (),
        "raws.dng": (),
        "sub/pair.arw": (),
        "two.heic": ("two.nef",),
        "two.jpg": (),
    }


JUNK = (
    *("@eaDir/IMG_1.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/IMG_0.jpg", "$RECYCLE.BIN/$R1.jpg"),
    *("$Recycle.Bin/x.jpg", "__MACOSX/IMG_1.jpg", "sub/.thumbnails/1.png", ".Trash-1000/f/2.jpg"),
    *(".@__thumb/s.jpg", "@Recycle/d.jpg", "Album Previews.lrdata/0/1.jpg"),
)


def test_system_folders_are_skipped_and_counted(tmp_path: Path) -> None:
    source = source_of(tmp_path, "IMG_1.jpg", "sub/IMG_2.jpg", "._IMG_1.jpg", *JUNK)
    found = source.find_photos()
    assert [photo.path for photo in found.photos] == ["IMG_1.jpg", "sub/IMG_2.jpg"]
    (note,) = found.notes
    assert note == "Left out: 10 folders of thumbnails or deleted files, 1 system file."
    (tmp_path / "IMG_1.jpg").unlink()
    (tmp_path / "sub/IMG_2.jpg").unlink()
    with pytest.raises(InvalidArgumentError, match="Left out: 10 folders"):
        source.find_photos()


def test_hidden_photos_are_counted_and_names_that_are_not_utf_8_explained(tmp_path: Path) -> None:
    source = source_of(tmp_path, "a.jpg", ".b.jpg", ".notes", ".dtrash/c.jpg", "icon.ico")
    (tmp_path / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"x")
    found = source.find_photos()
    assert [photo.path for photo in found.photos] == ["a.jpg", "bad\ufffd.jpg", "icon.ico"]
    assert found.notes == ("Left out: 1 hidden folder, 1 hidden file.",)
    with pytest.raises(InvalidImageError, match="its name is not valid UTF-8: rename the file"):
        source.read("bad\ufffd.jpg")


def test_copies_that_exports_wrote_are_not_photos(tmp_path: Path) -> None:
    source = source_of(tmp_path, *(f"trip/{number}.jpg" for number in range(4)))
    best = tmp_path / "trip-best"
    with open_output(best, tmp_path / "trip") as output:
        for number in range(2):
            with (tmp_path / f"trip/{number}.jpg").open("rb") as opened:
                output.stage_copy(f"selected/{number}.jpg", opened)
        output.commit()
    (best / "mine.jpg").write_bytes(b"put here by the owner")
    (best / "selected/1.jpg").write_bytes(b"edited by the owner")
    found = source.find_photos()
    assert [photo.path for photo in found.photos] == [
        *("trip-best/mine.jpg", "trip-best/selected/1.jpg"),
        *(f"trip/{number}.jpg" for number in range(4)),
    ]
    assert found.notes == ("Left out: 1 file written by bestshot.",)


@pytest.mark.parametrize(
    "files",
    [
        f'{{"a.jpg": [{{"size": 1}}], "b.jpg": [{" " * 2**24}]}}',
        '{"a.jpg": ' + "[" * 100_000,
        '{"\\ud800.jpg": [{"size": 1}], "a\\u0000.jpg": [{"size": 1}]}',
        "[]",
    ],
    ids=["large", "deep", "impossible names", "no names"],
)
def test_a_planted_manifest_hides_no_photo_and_breaks_no_run(tmp_path: Path, files: str) -> None:
    source = source_of(tmp_path, "sub/a.jpg")
    manifest = f'{{"written_by": "bestshot", "format": 1, "files": {files}}}'
    (tmp_path / "sub" / MANIFEST_NAME).write_text(manifest)
    assert [photo.path for photo in source.find_photos().photos] == ["sub/a.jpg"]


def test_patterns_exclude_files_and_folders(tmp_path: Path) -> None:
    source = source_of(
        tmp_path,
        *("a.jpg", "b.png", "keep.png", "sub/c.jpg", "sub/drafts/d.jpg", "drafts/e.jpg"),
        *("clip.mp4", "a.mov", "sub/f.PNG", "notes.txt"),
    )
    assert len(source.find_photos().photos) == 7
    assert source.find_photos().notes == ("Left out: 1 video.",)
    (tmp_path / ".bestshotignore").write_text("# comment\n*.png\n/drafts/\n!keep.png\n")
    found = source.find_photos(["sub/drafts", "*.PNG"])
    assert [photo.path for photo in found.photos] == ["a.jpg", "keep.png", "sub/c.jpg"]
    assert found.notes == ("Left out: 2 excluded folders, 2 excluded files, 1 video.",)
    with pytest.raises(InvalidArgumentError, match=r"find_photos\.exclude: invalid pattern"):
        source.find_photos(["!"])
    for content in (b"\xff\xfe", b"#" * 2**20 + b"\n*.jpg"):
        (tmp_path / ".bestshotignore").write_bytes(content)
        with pytest.raises(InvalidArgumentError, match=r"\.bestshotignore cannot be read"):
            source.find_photos()


def test_a_folder_that_disappears_is_not_a_folder_of_broken_photos(tmp_path: Path) -> None:
    album = tmp_path / "album"
    source = source_of(album, "a.jpg", "b.jpg")
    source.list_photos()
    (album / "a.jpg").unlink()
    with pytest.raises(InvalidImageError, match="No such file"):
        source.read("a.jpg")
    album.rename(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError, match="is no longer available: No such file"):
        source.read("b.jpg")
    album.mkdir()  # an unmounted network folder leaves an empty folder behind
    with pytest.raises(UnavailableError, match="was replaced by a different one"):
        source.read("b.jpg")
    album.rmdir()
    (tmp_path / "elsewhere").rename(album)
    assert source.read("b.jpg") == b"x"


def test_the_feature_cache_returns_the_first_stored_value(engine: Engine) -> None:
    cache = SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    keys = [(f"{i:064}", "face", "m") for i in range(1000)]
    cache.put({key: str(i).encode() for i, key in enumerate(keys)})
    cache.put({keys[0]: b"later"})
    found = cache.get([*keys, ("none", "face", "m")])
    assert len(found) == 1000
    assert found[keys[0]] == b"0"
    assert cache.get([]) == {}


def test_a_data_folder_belongs_to_one_process(tmp_path: Path) -> None:
    handle = lock_folder(tmp_path)
    with pytest.raises(FailedPreconditionError, match="in use by another bestshot"):
        lock_folder(tmp_path)
    handle.close()
    lock_folder(tmp_path).close()


def test_photos_are_found_in_sub_folders_in_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.heic", "a/.hidden.jpg", ".trash/c.jpg", "notes.txt", "c.Png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"12345")
    found = FolderPhotoSource(tmp_path, max_pixels=1).list_photos()
    assert [photo.path for photo in found] == ["a/z.heic", "b.JPG", "c.Png"]
    assert {photo.size_bytes for photo in found} == {5}


def test_a_missing_folder_and_one_without_photos_have_different_errors(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="no photos found in"):
        FolderPhotoSource(tmp_path, max_pixels=1).list_photos()
    with pytest.raises(InvalidArgumentError, match="does not exist"):
        FolderPhotoSource(tmp_path / "none", max_pixels=1).list_photos()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidArgumentError, match="is a file, not a folder"):
        FolderPhotoSource(tmp_path / "file", max_pixels=1).list_photos()


def test_a_dangling_link_is_an_unreadable_photo(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    source = FolderPhotoSource(tmp_path, max_pixels=1)
    (photo,) = source.list_photos()
    with pytest.raises(InvalidImageError, match="No such file"):
        source.read(photo.path)


def test_paths_outside_the_allowed_roots_are_refused_after_resolving_links(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "in").mkdir()
    assert check_allowed(root / "in", [root], field="folder") == (root / "in").resolve()
    for path in (outside, root / "link", root / "in" / ".." / ".." / "outside"):
        with pytest.raises(InvalidArgumentError, match="allowed roots"):
            check_allowed(path, [root], field="folder")
    with pytest.raises(InvalidArgumentError, match="in one, whose target is not in any of"):
        check_allowed(root / "link" / "trip", [root.resolve()], field="folder")
    with pytest.raises(InvalidArgumentError, match="absolute"):
        check_allowed(Path("in"), [root], field="folder")


def test_a_tilde_is_the_home_of_the_orchestrators_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "trip").mkdir()
    trip = (tmp_path / "trip").resolve()
    assert check_allowed(Path("~/trip"), [Path("~")], field="folder") == trip
    with pytest.raises(InvalidArgumentError, match="allowed roots"):
        check_allowed(Path("~/trip"), [tmp_path / "other"], field="folder")
    with pytest.raises(InvalidArgumentError, match="absolute"):
        check_allowed(Path("~nobody-here/trip"), [tmp_path], field="folder")


def test_an_upload_beyond_the_limit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with Upload(tmp_path, "fits", 10**6) as upload:
        upload.begin("a.jpg")
        upload.write(bytes(10**6))
        upload.finish()
    with Upload(tmp_path, "too-large", 10**6) as upload:
        upload.begin("a.jpg")
        upload.write(bytes(10**6))
        with pytest.raises(InvalidArgumentError, match="larger than the limit of 1 MB"):
            upload.write(b"x")
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == ["fits"]


def test_only_uploads_that_never_became_an_album_are_removed(tmp_path: Path) -> None:
    for name in ("crashed", "stored", "stored-elsewhere", "kept"):
        with Upload(tmp_path, name, 10) as upload:
            upload.begin("a.jpg")
            upload.finish()
        if name == "kept":  # its album may be in a database that was moved away
            upload.keep()
    uploads = tmp_path / "uploads"
    (uploads / "killed.partial").mkdir()
    (uploads / "link.partial").symlink_to(tmp_path)

    def folders() -> list[str]:
        return [str(uploads / "stored"), "/where/the/data/was/uploads/stored-elsewhere"]

    remove_abandoned_uploads(tmp_path, folders, untouched_s=3600)
    assert len(list(uploads.iterdir())) == 6
    remove_abandoned_uploads(tmp_path, folders, untouched_s=0)
    left = {path.name for path in uploads.iterdir()}
    assert left == {"stored", "stored-elsewhere", "kept", "link.partial"}
    assert [count_photos(uploads / name) for name in ("stored", "kept", "gone")] == [1, 1, 0]
    assert all(len(list((uploads / name).iterdir())) == 1 for name in ("stored", "kept"))


PARTS = ("..", ".", "", "a", "b.jpg", "...", "x" * 300, "\x01:")


@given(st.lists(st.sampled_from(PARTS), max_size=8))
def test_an_uploaded_file_stays_below_its_folder_whatever_its_name(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    data = tmp_path_factory.mktemp("upload")
    with Upload(data, "album", 100) as upload:
        for separator in "/\\":
            upload.begin(separator.join([*parts, "c.jpg"]))
            upload.write(b"x")
        upload.finish()
        upload.keep()
    photos = [path for path in data.rglob("*.jpg") if path.is_file()]
    assert len(photos) == count_photos(data / "uploads" / "album") == 2
