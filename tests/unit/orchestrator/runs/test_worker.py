"""An error at the start or the end of a run fails that run, but never the worker."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, event, select, update

from orchestrator.config import PipelineConfig
from orchestrator.data_folder import DATABASE_NAME
from orchestrator.domain.people.faces import identified_face
from orchestrator.export.metrics_csv import metrics_csv
from orchestrator.export.results_json import results_json, run_json
from orchestrator.features import pack_json, unpack_identities, unpack_json
from orchestrator.metrics import RunMetrics
from orchestrator.ports import FileStamp, FoundFaces, IdentityModel, ModelIdentity, ModelPorts
from orchestrator.records import Album, Run, RunState, utc_now
from orchestrator.run_service import Curator
from orchestrator.runs.pipeline import FACTS_ROLE, Concurrency
from orchestrator.runs.worker import ERASED, Worker
from orchestrator.storage.database import open_database, open_postgresql
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.file_stamps import SqlFileStamps
from orchestrator.storage.people_store import IDENTITY_ROLE, SqlPeople
from orchestrator.storage.photo_io import PhotoThreads
from orchestrator.storage.photo_source import FolderPhotoSource
from orchestrator.storage.rendition_files import PREVIEW_PX, RenditionFiles
from orchestrator.storage.run_queue import SqlRunQueue
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.storage.tables import features
from orchestrator.viewing.pictures import PhotoPictures
from services.common.errors import FailedPreconditionError, NonFiniteError
from tests.conftest import ROOT, draw_picture
from tests.unit.values import face, quality

Fault = Callable[[str, Any], None]
"""Gets every statement with its parameters before it is executed, and may raise."""


VECTOR = np.array([0.28, 0.96], np.float32)


class Services:
    """All four roles: pictures differ only in noise; comparisons fail on request."""

    def __init__(self) -> None:
        self.answer: Any = 0.5
        self.identity: str | None = None
        self.at_identify: Callable[[], object] = lambda: None
        self.scored_count = self.identified_count = 0

    async def model(self) -> ModelIdentity:
        return ModelIdentity("m", "1", "d", 0, (), "builtin", "", 8, (), (), "", (), {})

    async def calibration(self) -> tuple[float, float]:
        return 0.4, 0.3

    async def embed(self, images: Sequence[Any], model: ModelIdentity) -> Any:
        return [np.array([1.0, 0.0], np.float32) for _ in images]

    async def score(self, images: Sequence[Any], model: ModelIdentity) -> Any:
        first = self.scored_count
        self.scored_count += len(images)
        return [quality(noise_level=2.0 * number) for number in range(first, self.scored_count)]

    async def analyze(self, images: Sequence[Any], model: ModelIdentity) -> Any:
        return [() for _ in images]

    async def identity_model(self) -> IdentityModel | None:
        if self.identity is None:
            return None
        return IdentityModel(dataclasses.replace(await self.model(), digest=self.identity), 0.4)

    async def identify(self, images: Sequence[Any], model: Any, identity: Any) -> Any:
        self.identified_count += len(images)
        await asyncio.to_thread(self.at_identify)
        return [FoundFaces((face(),), (identified_face(face(), VECTOR),)) for _ in images]

    async def compare(
        self, images: Sequence[Any], pairs: Sequence[Any], model: ModelIdentity
    ) -> Any:
        return [self.answer for _ in pairs]


class LoggedSource(FolderPhotoSource):
    """Notes which photos are read."""

    def __init__(self, folder: Path, read_paths: list[str]) -> None:
        super().__init__(folder, max_pixels=10**8)
        self._read_paths = read_paths

    def read_stamped(self, path: str, size: int) -> tuple[bytes, FileStamp | None]:
        self._read_paths.append(path)
        return super().read_stamped(path, size)


class WorkerSetup:
    """A worker on a database, and what the tests do with it."""

    def __init__(self, engine: Engine, album: Album) -> None:
        self.read_paths: list[str] = []
        self.clock_ahead_s = 3600.0
        """New files count as old."""
        self.services: Any = Services()
        self.store = SqlRunStore(engine)
        self.store.add_album(album)
        self._album = album
        metrics = RunMetrics(CollectorRegistry())
        self.announced: list[Run] = []
        self.previews: dict[str, bytes] = {}
        parts: dict[str, Any] = {
            "queue": SqlRunQueue(engine, "me", takes_over=False),
            "store": self.store,
            "log": SqlDecisionLog(engine),
            "people": SqlPeople(engine),
            "cache": SqlFeatureCache(engine, metrics),
            "ports": ModelPorts(*[self.services] * 4),
        }
        worker = Worker(
            **parts,
            stamps=SqlFileStamps(
                engine, now_ns=lambda: time.time_ns() + int(self.clock_ahead_s * 10**9)
            ),
            concurrency=Concurrency(4, 2),
            open_source=lambda found: LoggedSource(Path(found.folder), self.read_paths),
            metrics=metrics,
            announce=self.announced.append,
            keep_picture=self.previews.__setitem__,
        )
        config = PipelineConfig(ROOT / "configs", "builtin")
        self.curator = Curator(**parts, config=config, worker=worker)
        self.working = asyncio.ensure_future(worker.work())

    async def curate(self, **overrides: Any) -> Run:
        """Runs the album, and returns the ended run as a watcher sees it."""
        run = await self.curator.start_run(self._album, "", overrides, uuid.uuid4().hex)
        async with asyncio.timeout(60):
            async for snapshot in self.curator.watch(run.id):
                run = snapshot
        assert not self.working.done()
        return run


@pytest.fixture(params=["sqlite", "postgresql"])
def any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        opened = open_database(tmp_path)
        yield opened
        opened.dispose()
        return
    with request.getfixturevalue("postgresql").database() as url:
        opened = open_postgresql(url, None)
        yield opened
        opened.dispose()


@pytest.fixture
def engine(sqlite_folder: Path) -> Any:
    opened = open_database(sqlite_folder, busy_timeout_s=0.01)
    yield opened
    opened.dispose()


@pytest.fixture
def album(tmp_path: Path) -> Album:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(2):
        Image.fromarray(draw_picture(seed, 160, 120)).save(folder / f"{seed}.jpg")
    return Album(id="a", display_name="a", folder=str(folder), create_time=utc_now())


@contextlib.asynccontextmanager
async def set_up_worker(engine: Engine, album: Album, fault: Fault) -> AsyncIterator[WorkerSetup]:
    @event.listens_for(engine, "before_cursor_execute")
    def interfere(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: Any
    ) -> None:
        fault(statement, parameters)

    opened = WorkerSetup(engine, album)
    try:
        yield opened
    finally:
        opened.working.cancel()
        await asyncio.wait([opened.working])


def once(is_it: Callable[[str, Any], bool], act: Callable[[], None]) -> Fault:
    """Acts at the first matching statement."""
    done: list[bool] = []

    def fault(statement: str, parameters: Any) -> None:
        if not done and is_it(statement, parameters):
            done.append(True)
            act()

    return fault


def raise_unexpectedly() -> None:
    raise RuntimeError("nobody foresaw this\nSQL: and all the values")


async def test_an_unexpected_error_while_finishing_fails_that_run_with_its_cause(
    engine: Engine, album: Album
) -> None:
    fault = once(lambda sql, _: sql.startswith("INSERT INTO images"), raise_unexpectedly)
    async with set_up_worker(engine, album, fault) as opened:
        failed = await opened.curate()
        assert failed.state is RunState.FAILED
        assert "RuntimeError: nobody foresaw this)" in failed.error
        assert "values" not in failed.error
        assert opened.store.run(failed.id) == failed
        assert (await opened.curate()).state is RunState.COMPLETED
        announced = [one.state for one in opened.announced]
        assert announced == [RunState.FAILED, RunState.COMPLETED]


async def test_a_run_leaves_previews_that_viewers_look_for(
    engine: Engine, album: Album, tmp_path: Path
) -> None:
    """Without them, the first look at each photo would decode it while somebody waits."""
    async with set_up_worker(engine, album, lambda *_: None) as opened:
        run = await opened.curate()
    kept = RenditionFiles(tmp_path / "kept", 10**6)
    for key, jpeg in opened.previews.items():
        kept.keep(key, jpeg)
    for path in (tmp_path / "photos").iterdir():
        path.write_bytes(b"")  # so that nothing can be decoded now
    pictures = PhotoPictures(PhotoThreads(), kept)
    source = FolderPhotoSource(Path(album.folder), max_pixels=10**8)
    for record in opened.store.images(run.id):
        preview = await pictures.whole(record, source, PREVIEW_PX)
        assert Image.open(io.BytesIO(preview)).size == (160, 120)


async def test_an_unexpected_error_while_claiming_leaves_the_run_for_the_next_try(
    engine: Engine, album: Album
) -> None:
    claims = lambda sql, values: sql.startswith("UPDATE runs") and "RUNNING" in values  # noqa: E731
    async with set_up_worker(engine, album, once(claims, raise_unexpectedly)) as opened:
        assert (await opened.curate()).state is RunState.COMPLETED


async def test_a_locked_database_fails_the_run_at_once_and_that_is_stored_later(
    engine: Engine, album: Album, tmp_path: Path
) -> None:
    connect = sqlite3.connect(tmp_path / DATABASE_NAME, check_same_thread=False)
    with contextlib.closing(connect) as other:
        ends = lambda sql, values: sql.startswith("UPDATE runs") and "COMPLETED" in values  # noqa: E731
        locks = once(ends, lambda: other.execute("BEGIN EXCLUSIVE") and None)
        async with set_up_worker(engine, album, locks) as opened:
            failed = await opened.curate()
            assert failed.state is RunState.FAILED
            assert "another program has locked the database" in failed.error
            assert "Scores computed so far are kept" in failed.error
            assert opened.store.run(failed.id).state is RunState.RUNNING  # not stored yet
            assert not opened.announced
            assert opened.curator.current(opened.store.run(failed.id)) == failed
            other.rollback()
            assert (await opened.curate()).state is RunState.COMPLETED
            assert opened.store.run(failed.id) == failed
            assert opened.announced[0] == failed


async def test_a_full_disk_fails_the_run_with_advice_and_later_runs_work(
    engine: Engine, album: Album
) -> None:
    has_room = False

    @event.listens_for(engine, "before_cursor_execute")
    def limit(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO features"):  # 1 = no new pages
            pages = 1_000_000 if has_room else 1
            cursor.connection.execute(f"PRAGMA max_page_count = {pages}")

    async with set_up_worker(engine, album, lambda *_: None) as opened:
        failed = await opened.curate()
        assert failed.state is RunState.FAILED
        assert "cannot write the database" in failed.error
        assert "free some space" in failed.error
        has_room = True
        engine.dispose()  # the limit belongs to the connections
        assert (await opened.curate()).state is RunState.COMPLETED


async def test_a_pair_that_cannot_be_compared_does_not_fail_the_run(
    engine: Engine, album: Album
) -> None:
    async with set_up_worker(engine, album, lambda *_: None) as opened:
        opened.services.answer = NonFiniteError("the siamese service answered NaN")
        run = await opened.curate()
        assert run.state is RunState.COMPLETED, run.error
        assert {stage.stage: stage.failed_count for stage in run.stages}["compare"] == 1
        images = opened.store.images(run.id)
        assert [image.is_readable for image in images] == [True, True]
        assert sum(image.is_selected for image in images) == 1


async def test_only_pictures_that_older_versions_decoded_differently_are_decoded_again(
    engine: Engine, album: Album
) -> None:
    Image.fromarray(draw_picture(5, 160, 120)).save(Path(album.folder) / "scan.tif")
    async with set_up_worker(engine, album, lambda *_: None) as opened:
        await opened.curate()
        with engine.begin() as connection:  # as version 0.1.0 stored them
            rows = connection.execute(
                select(features.c.content_digest, features.c.payload).where(
                    features.c.role == FACTS_ROLE
                )
            ).all()
            for digest, payload in rows:
                facts = unpack_json(payload)
                facts.pop("canonical_version")
                of_photo = features.c.content_digest == digest
                connection.execute(
                    update(features)
                    .where(of_photo, features.c.role == FACTS_ROLE)
                    .values(payload=pack_json(facts))
                )
            connection.execute(update(features).values(canonical_version="1"))
        cached = []
        for _ in range(2):
            summary = (await opened.curate()).summary
            assert summary is not None
            cached.append(summary.cached_count)
        assert cached == [2, 3]


async def test_pictures_in_unsupported_formats_become_rows_and_are_counted(
    engine: Engine, album: Album
) -> None:
    for name in ("a.jxl", "b.jxl", "c.jpg"):
        (Path(album.folder) / name).write_bytes(b"\xff\x0a and so on")
    (Path(album.folder) / "d.exr").write_bytes(b"v/1\x01 and so on")
    (Path(album.folder) / "e.mp4").write_bytes(b"a film")
    async with set_up_worker(engine, album, lambda *_: None) as opened:
        run = await opened.curate()
        assert run.notes[-2:] == ("Left out: 1 video.", "Not supported: 3 JPEG XL, 1 OpenEXR.")
        assert run.summary is not None
        assert (run.summary.photo_count, run.summary.unreadable_count) == (6, 4)
        found = opened.store.image(run.id, "a.jxl")
        assert (found.reason_code, found.format) == ("UNSUPPORTED_FORMAT", "JPEG XL")
        assert found.error == "not supported: JPEG XL"


PEOPLE = {"enabled": True}


def no_fault(statement: str, parameters: Any) -> None:
    pass


def identities(engine: Engine) -> list[bytes]:
    query = select(features.c.payload).where(features.c.role == IDENTITY_ROLE)
    with engine.connect() as connection:
        return [row[0] for row in connection.execute(query)]


async def test_vectors_are_computed_once_without_scoring_again(
    engine: Engine, album: Album
) -> None:
    async with set_up_worker(engine, album, no_fault) as system:
        system.services.identity = "i"
        await system.curate()
        assert identities(engine) == []
        run = await system.curate(people=PEOPLE)
        assert run.state is RunState.COMPLETED
        await system.curate(people=PEOPLE)
    assert (system.services.scored_count, system.services.identified_count) == (2, 2)
    found = [one for payload in identities(engine) for one in unpack_identities(payload)]
    assert [one.vector.tolist() for one in found] == [VECTOR.tolist()] * 2
    (person,) = SqlPeople(engine).list_people()
    assert (person.face_count, person.photo_count) == (2, 2)
    assert run.models[IDENTITY_ROLE]["digest"] == "i"
    records = system.store.images(run.id)
    for text in (metrics_csv(records), results_json(records), run_json(album, run)):
        assert "0.28" not in text


async def test_without_an_identity_model_a_note_says_so(engine: Engine, album: Album) -> None:
    async with set_up_worker(engine, album, no_fault) as system:
        run = await system.curate(people=PEOPLE)
    assert run.state is RunState.COMPLETED
    assert any("People were not recognized" in note for note in run.notes)
    assert IDENTITY_ROLE not in run.models


async def test_erasing_during_a_run_leaves_no_vector(any_engine: Engine, album: Album) -> None:
    people = SqlPeople(any_engine)
    async with set_up_worker(any_engine, album, no_fault) as system:
        system.services.identity = "i"
        system.services.at_identify = people.erase
        run = await system.curate(people=PEOPLE)
        assert run.state is RunState.COMPLETED
        assert ERASED in run.notes
        assert (identities(any_engine), people.list_people()) == ([], [])
        system.services.at_identify = lambda: None
        run = await system.curate(people=PEOPLE)
        assert ERASED not in run.notes
        assert len(identities(any_engine)) == 2
        assert len(people.list_people()) == 1


async def test_a_goal_for_everybody_needs_an_identity_model(engine: Engine, album: Album) -> None:
    async with set_up_worker(engine, album, no_fault) as system:
        with pytest.raises(FailedPreconditionError, match="models pull mobilefacenet"):
            await system.curate(people=PEOPLE, select_best={"goal": {"pick": "everybody"}})


async def test_a_run_is_not_resumed_with_another_identity_model(
    engine: Engine, album: Album
) -> None:
    async with set_up_worker(engine, album, no_fault) as system:
        system.services.identity = "i"
        run = await system.curate(people=PEOPLE)
        for other in ("j", None):
            system.services.identity = other
            with pytest.raises(FailedPreconditionError, match="start a new run"):
                await system.curator.resume(run.id)
