"""How runs end, with fake model services; integration tests use the real ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from orchestrator.config import PipelineConfig
from orchestrator.metrics import RunMetrics
from orchestrator.ports import ModelIdentity, ModelPorts
from orchestrator.records import Album, RunState, utc_now
from orchestrator.run_service import Curator
from orchestrator.runs.pipeline import Concurrency
from orchestrator.runs.worker import Worker
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.file_stamps import SqlFileStamps
from orchestrator.storage.people_store import SqlPeople
from orchestrator.storage.photo_source import FolderPhotoSource
from orchestrator.storage.run_queue import SqlRunQueue
from orchestrator.storage.run_store import SqlRunStore
from services.common.errors import FailedPreconditionError, UnavailableError
from tests.conftest import ROOT, draw_picture


class HangingService:
    """Serves a model, and hangs in every call until it is cancelled.

    Like a network call whose server disappears at the same moment, it then raises a different error
    instead of its cancellation.
    """

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.digest = "d"

    async def model(self) -> ModelIdentity:
        return ModelIdentity("m", "1", self.digest, 0, (), "builtin", "", 8, (), (), "", (), {})

    async def calibration(self) -> tuple[float, float]:
        return 0.4, 0.3

    async def hang(self, images: Sequence[Any], model: ModelIdentity) -> Any:
        self.called.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise UnavailableError("the service went away") from None

    embed = score = analyze = hang


@pytest.fixture
def album(tmp_path: Path) -> Album:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(draw_picture(1, 160, 120)).save(folder / "a.jpg")
    return Album(id="a", display_name="a", folder=str(folder), create_time=utc_now())


@contextlib.asynccontextmanager
async def hanging_run(
    album: Album,
    engine: Engine,
    *,
    wait: bool = True,
    service: HangingService | None = None,
    profile: str = "",
) -> AsyncIterator[tuple[Curator, asyncio.Task[None], str]]:
    """A curator, its worker, and one of its runs, which waits for the services."""
    store = SqlRunStore(engine)
    store.add_album(album)
    service = service or HangingService()
    port: Any = service
    metrics = RunMetrics(CollectorRegistry())
    parts: dict[str, Any] = {
        "queue": SqlRunQueue(engine, "me", takes_over=True),
        "store": store,
        "log": SqlDecisionLog(engine),
        "people": SqlPeople(engine),
        "cache": SqlFeatureCache(engine, metrics),
        "ports": ModelPorts(port, port, port, port),
    }
    working = Worker(
        **parts,
        stamps=SqlFileStamps(engine),
        concurrency=Concurrency(4, 2),
        open_source=lambda found: FolderPhotoSource(Path(found.folder), max_pixels=10**8),
        metrics=metrics,
    )
    curator = Curator(**parts, config=PipelineConfig(ROOT / "configs", "builtin"), worker=working)
    worker = asyncio.ensure_future(working.work())
    run = await curator.start_run(album, profile, {}, "first-run")
    if wait:
        await service.called.wait()
    yield curator, worker, run.id
    worker.cancel()
    await asyncio.wait([worker])


def test_the_worker_stops_even_if_a_service_fails_at_that_moment(
    album: Album, engine: Engine
) -> None:
    async def scenario() -> RunState:
        async with hanging_run(album, engine) as (curator, worker, run_id):
            worker.cancel()
            await asyncio.wait_for(asyncio.wait([worker]), 10)
            assert worker.cancelled()
            return (await curator.run(run_id)).state

    assert asyncio.run(scenario()) is RunState.PENDING  # the next orchestrator continues it


def test_a_run_is_cancelled_even_if_a_service_fails_at_that_moment(
    album: Album, engine: Engine
) -> None:
    async def scenario() -> RunState:
        async with hanging_run(album, engine) as (curator, _, run_id):
            await curator.cancel(run_id)
            async for run in curator.watch(run_id):
                state = run.state
            return state

    assert asyncio.run(scenario()) is RunState.CANCELLED


@pytest.mark.parametrize("steps", range(12))
def test_a_run_that_is_cancelled_at_its_start_stays_cancelled(
    album: Album, engine: Engine, steps: int
) -> None:
    async def scenario() -> None:
        async with hanging_run(album, engine, wait=False) as (curator, _, run_id):
            for _ in range(steps):
                await asyncio.sleep(0.0005)
            await curator.cancel(run_id)
            async for run in curator.watch(run_id):
                state = run.state
            assert state is RunState.CANCELLED
            await asyncio.sleep(0.05)
            assert (await curator.run(run_id)).state is RunState.CANCELLED
            with pytest.raises(FailedPreconditionError):
                await curator.cancel(run_id)

    asyncio.run(scenario())


def test_a_cancelled_run_can_be_resumed_once(album: Album, engine: Engine) -> None:
    async def scenario() -> None:
        async with hanging_run(album, engine) as (curator, _, run_id):
            with pytest.raises(FailedPreconditionError, match="only one that failed"):
                await curator.resume(run_id)
            await curator.cancel(run_id)
            async for run in curator.watch(run_id):
                state = run.state
            assert state is RunState.CANCELLED
            resumed = await asyncio.gather(
                curator.resume(run_id), curator.resume(run_id), return_exceptions=True
            )
            assert sum(isinstance(one, FailedPreconditionError) for one in resumed) == 1
            async for run in curator.watch(run_id):
                if run.state is RunState.RUNNING:
                    break
            await curator.cancel(run_id)
            async for run in curator.watch(run_id):
                state = run.state
            assert state is RunState.CANCELLED

    asyncio.run(asyncio.wait_for(scenario(), 30))


class ReplacedService(HangingService):
    """Serves a different model once the run is queued, as if everything had been restarted."""

    async def calibration(self) -> tuple[float, float]:
        self.digest = "other"
        return await super().calibration()


def test_a_run_never_continues_with_another_model(album: Album, engine: Engine) -> None:
    async def taken_over() -> tuple[RunState, str]:
        service = ReplacedService()
        async with hanging_run(album, engine, wait=False, service=service) as (curator, _, run_id):
            async for run in curator.watch(run_id):
                last = run
            return last.state, last.error

    async def resumed() -> None:
        service = HangingService()
        async with hanging_run(album, engine, service=service) as (curator, _, run_id):
            await curator.cancel(run_id)
            async for _run in curator.watch(run_id):
                pass
            service.digest = "other"
            with pytest.raises(FailedPreconditionError, match="start a new run"):
                await curator.resume(run_id)

    state, error = asyncio.run(taken_over())
    assert state is RunState.FAILED
    assert error.endswith("start a new run")
    SqlRunStore(engine).delete_album(album.id)
    asyncio.run(resumed())


def test_a_run_notes_models_of_its_profile_that_are_not_used(album: Album, engine: Engine) -> None:
    async def notes(profile: str) -> tuple[str, ...]:
        async with hanging_run(album, engine, profile=profile) as (curator, _, run_id):
            return (await curator.run(run_id)).notes

    standard = asyncio.run(notes("standard"))
    SqlRunStore(engine).delete_album(album.id)
    builtin = asyncio.run(notes("builtin"))
    assert standard == (
        "The embedding service uses m, not standard-scene-embedding from the `standard` profile.",
        "The quality service uses m, not builtin-quality from the `standard` profile.",
        "The face service uses m, not standard-face from the `standard` profile.",
        "The siamese service uses m, not builtin-siamese from the `standard` profile.",
    )
    # This profile does not name models, so it has those in services.yaml.
    assert [note.split(", not ")[1] for note in builtin] == [
        "builtin-scene-embedding from the `builtin` profile.",
        "builtin-quality from the `builtin` profile.",
        "builtin-face from the `builtin` profile.",
        "builtin-siamese from the `builtin` profile.",
    ]
