"""Dynamic batching: combines items from many callers into one inference.

Each item is prepared separately (decoded, converted to a tensor), then waits to be run in one
inference with other items; its result goes back to its caller. The number of items is limited:
requests that would exceed the limit wait in order of arrival, so that none starves; a request that
is larger than the limit is refused. A non-finite number in a result becomes that item's error, so
it never leaves the service.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.rpc import status_pb2

from services.common.errors import BestshotError, ResourceExhaustedError
from services.common.finite import check_finite
from services.common.process.metrics import Metrics
from services.common.process.request_id import request_id
from services.common.rpc.status import internal_status, to_status
from services.common.rpc.turns import Turns

ItemT = TypeVar("ItemT")
PreparedT = TypeVar("PreparedT")
ResultT = TypeVar("ResultT")
ArgumentT = TypeVar("ArgumentT")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batching:
    """Batching settings.

    Attributes:
        preferred_batch_count: Maximum number of items per inference.
        max_queue_delay_ms: How long an inference with room waits for more items; 0 = it takes only
            those already waiting.
        max_queue_count: Maximum number of items waiting or in progress.
        worker_threads: Threads that prepare items and run inferences.
        metrics: Counts every inference.
    """

    preferred_batch_count: int
    max_queue_delay_ms: float
    max_queue_count: int
    worker_threads: int
    metrics: Metrics


@dataclass
class _Waiting(Generic[PreparedT, ResultT]):
    prepared: PreparedT
    result: asyncio.Future[ResultT | status_pb2.Status]
    context: contextvars.Context
    since: float


class DynamicBatcher(Generic[ItemT, PreparedT, ResultT]):
    """Prepares items one by one and infers them in batches.

    Args:
        prepare: Prepares an item; if it fails, only that item fails.
        infer: Takes prepared items, returns their results in order. If a batch fails, each item is
            retried separately, so that only bad items fail.
        batching: Limits and metrics.
    """

    def __init__(
        self,
        prepare: Callable[[ItemT], PreparedT],
        infer: Callable[[list[PreparedT]], Sequence[ResultT]],
        batching: Batching,
    ) -> None:
        self._prepare = prepare
        self._infer = infer
        self._batching = batching
        self._turns = Turns(batching.max_queue_count)
        # prepared items take memory, so do not prepare more than the next batches need
        room = 2 * batching.worker_threads * batching.preferred_batch_count
        self._room = asyncio.Semaphore(room)
        self._queue: asyncio.Queue[_Waiting[PreparedT, ResultT]] = asyncio.Queue()
        self._executor = ThreadPoolExecutor(batching.worker_threads)
        self._workers: list[asyncio.Task[None]] = []
        self._gathering = asyncio.Lock()  # fills one batch before starting the next

    async def map(self, items: Sequence[ItemT]) -> list[ResultT | status_pb2.Status]:
        """Returns, in order, each item's result or the Status of its failure.

        Waits while these items would exceed `max_queue_count`. Cancelling it drops only these
        items.

        Raises:
            ResourceExhaustedError: There are more items than `max_queue_count`.
        """
        if len(items) > self._batching.max_queue_count:
            raise ResourceExhaustedError(
                f"the request has {len(items)} items; the limit is "
                f"{self._batching.max_queue_count} (max_queue_count)"
            )
        self._start_workers()
        await self._turns.take(len(items))
        self._batching.metrics.queue_changed(len(items))
        try:
            return list(await asyncio.gather(*map(self._one, items)))
        finally:
            self._batching.metrics.queue_changed(-len(items))
            self._turns.release(len(items))

    async def close(self) -> None:
        """Stops the workers and cancels waiting items."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers.clear()
        self._executor.shutdown(cancel_futures=True)

    async def _one(self, item: ItemT) -> ResultT | status_pb2.Status:
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        metrics = self._batching.metrics
        async with self._room:
            began = time.monotonic()
            prepared = await loop.run_in_executor(
                self._executor, context.run, _guard, self._prepare, item
            )
            if isinstance(prepared, status_pb2.Status):
                return prepared
            now = time.monotonic()
            metrics.stage("prepare", now - began)
            waiting = _Waiting[PreparedT, ResultT](prepared, loop.create_future(), context, now)
            self._queue.put_nowait(waiting)
            return await waiting.result

    def _start_workers(self) -> None:
        if not self._workers:
            self._workers = [
                asyncio.ensure_future(self._work()) for _ in range(self._batching.worker_threads)
            ]

    async def _work(self) -> None:
        loop, metrics = asyncio.get_running_loop(), self._batching.metrics
        while True:
            async with self._gathering:
                batch = await self._next_batch()
            batch = [entry for entry in batch if not entry.result.done()]
            if not batch:
                continue
            began = time.monotonic()
            for entry in batch:
                metrics.stage("wait", began - entry.since)
            results = await loop.run_in_executor(self._executor, self._infer_each, batch)
            metrics.batch(len(batch))
            metrics.stage("inference", time.monotonic() - began)
            for entry, result in zip(batch, results, strict=True):
                if not entry.result.done():
                    entry.result.set_result(result)

    async def _next_batch(self) -> list[_Waiting[PreparedT, ResultT]]:
        loop = asyncio.get_running_loop()
        batch = [await self._queue.get()]
        deadline = loop.time() + self._batching.max_queue_delay_ms / 1000
        while len(batch) < self._batching.preferred_batch_count:
            if self._queue.empty() and loop.time() >= deadline:
                break
            try:
                async with asyncio.timeout_at(deadline if self._queue.empty() else None):
                    batch.append(await self._queue.get())
            except TimeoutError:
                break
        return batch

    def _infer_each(
        self, batch: list[_Waiting[PreparedT, ResultT]]
    ) -> list[ResultT | status_pb2.Status]:
        if len(batch) > 1:
            try:
                results = list(self._infer([entry.prepared for entry in batch]))
                if len(results) == len(batch):
                    return [
                        entry.context.run(_guard, _check, result)
                        for entry, result in zip(batch, results, strict=True)
                    ]
            except Exception:  # retrying each item separately finds the one that fails
                logger.debug("a batch of %d failed; retrying each item separately", len(batch))
        return [entry.context.run(_guard, self._infer_alone, entry.prepared) for entry in batch]

    def _infer_alone(self, prepared: PreparedT) -> ResultT:
        (result,) = self._infer([prepared])
        return _check(result)


def _check(result: ResultT) -> ResultT:
    check_finite(result, "the model")
    return result


def _guard(
    call: Callable[[ArgumentT], ResultT], argument: ArgumentT
) -> ResultT | status_pb2.Status:
    try:
        return call(argument)
    except BestshotError as error:
        return to_status(error)
    except Exception:  # a picture that crashes a library call must not fail other pictures
        logger.exception("an item of a batch failed")
        return internal_status(request_id.get())
