"""Reads photos on separate threads, because a read that never returns must not block other calls.

A network folder whose server is gone blocks a thread within the kernel, where it cannot be
interrupted. The threads are daemons, so they do not keep the process alive. A thread that hangs is
replaced by a new one, up to a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from services.common.errors import FailedPreconditionError, UnavailableError
from services.common.rpc.turns import Turns

if TYPE_CHECKING:
    from orchestrator.ports import PhotoSource
    from orchestrator.records import Run

STALL_S = 30.0
"""How long a read may go without any progress."""
MAX_CONTENT_BYTES = 640 * 10**6
"""Total size of files in memory between reading and decoding; a single file may need all of it."""
MAX_PIXEL_BYTES = 256 * 10**6
"""Total size of decoded pictures that are being compared."""
MAX_RESULT_BYTES = 500 * 10**6
RESULT_BYTES = 12_000
"""Memory per photo, measured with 20,000, for an export or explanation, which loads a whole run."""
EXPORT_STALL_S = 120.0
"""Like `STALL_S`, but for exports, which build tables of all photos between two writes."""
MAX_THREADS = 8
MAX_STALLED_THREADS = 56

ResultT = TypeVar("ResultT")
Parameters = ParamSpec("Parameters")
_current = threading.local()


class StalledError(UnavailableError):
    """A disk or a network folder does not respond."""


def report_progress() -> None:
    """Reports, from within a call of `PhotoIo.run`, that the call is not hanging."""
    job = getattr(_current, "job", None)
    if job is not None:
        job.progressed = time.monotonic()


class _Job:
    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.future: Future[Any] = Future()
        self.progressed: float | None = None
        """When the job last made progress; None while it is queued."""


class PhotoIo:
    """Runs blocking calls on daemon threads.

    Args:
        max_threads: Maximum number of calls in progress, not counting those that hang.
        stall_s: Time without progress after which a call counts as hanging; None = no limit.
        max_stalled: Maximum number of hanging threads; beyond it, further calls fail at once.
    """

    def __init__(
        self,
        max_threads: int = MAX_THREADS,
        stall_s: float | None = STALL_S,
        max_stalled: int = MAX_STALLED_THREADS,
    ) -> None:
        self._max_threads = max_threads
        self._stall_s = stall_s
        self._max_stalled = max_stalled
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._running: set[_Job] = set()

    async def run(
        self,
        call: Callable[Parameters, ResultT],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> ResultT:
        """Awaits a blocking call; cancelling returns at once, although the call may continue.

        Raises:
            StalledError: The call made no progress for `stall_s`, or too many other calls hang.
        """
        context = contextvars.copy_context()
        job = _Job(lambda: context.run(call, *args, **kwargs))
        with self._lock:
            self._waiting.append(job)
        future = asyncio.wrap_future(job.future)
        future.add_done_callback(_retrieve_error)
        try:
            while not future.done():
                self._start_threads()
                wait_s = self._seconds_left(job)
                if wait_s is not None and wait_s <= 0:
                    raise self._make_stall_error()
                await asyncio.wait([future], timeout=wait_s)
        finally:
            with self._lock, contextlib.suppress(ValueError):
                self._waiting.remove(job)
            future.cancel()  # nobody waits for an unfinished call any longer
        result: ResultT = future.result()
        return result

    def _seconds_left(self, job: _Job) -> float | None:
        """Returns the seconds until the job (if queued, any running job) counts as hanging."""
        if self._stall_s is None:
            return None
        with self._lock:
            began = job.progressed
            if began is None:
                if len(self._running) >= self._max_threads + self._max_stalled and all(
                    self._hangs(other) for other in self._running
                ):
                    self._waiting.remove(job)
                    return 0.0
                now = time.monotonic()
                alive = [
                    other.progressed
                    for other in self._running
                    if other.progressed is not None and not self._hangs(other)
                ]
                return max(0.01, min(alive, default=now) + self._stall_s - now)
        return began + self._stall_s - time.monotonic()

    def _hangs(self, job: _Job) -> bool:
        return (
            self._stall_s is not None
            and job.progressed is not None
            and time.monotonic() - job.progressed >= self._stall_s
        )

    def _start_threads(self) -> None:
        """Starts threads for waiting jobs, while more are allowed."""
        with self._lock:
            hanging = sum(self._hangs(job) for job in self._running)
            room = self._max_threads + min(hanging, self._max_stalled) - len(self._running)
            for _ in range(min(room, len(self._waiting))):
                job = self._next()
                threading.Thread(
                    target=self._work, args=(job,), name="photo-io", daemon=True
                ).start()

    def _next(self) -> _Job:
        job = self._waiting.popleft()
        job.progressed = time.monotonic()
        self._running.add(job)
        return job

    def _work(self, job: _Job) -> None:
        while True:
            if job.future.set_running_or_notify_cancel():
                _current.job = job
                try:
                    job.future.set_result(job.call())
                except BaseException as error:
                    job.future.set_exception(error)
            with self._lock:
                self._running.discard(job)
                hanging = sum(self._hangs(other) for other in self._running)
                if not self._waiting or len(self._running) - hanging >= self._max_threads:
                    return
                job = self._next()

    def _make_stall_error(self) -> StalledError:
        return StalledError(
            f"no data could be read for {self._stall_s:g} s: the disk or the network folder "
            f"is not responding"
        )


@dataclass(frozen=True)
class PhotoThreads:
    """The threads of one process that handle photos, and the limits on their memory.

    Attributes:
        reads: For runs, which read files and folders.
        looks: For API calls that read a file or a folder, which must not wait for a run to finish.
        decodes: For calls that compute; they may wait for memory.
        views: Like `decodes`, for pictures that somebody is waiting to see, which must not queue
            behind a run's photos.
        contents: Bytes of files in memory, for runs and for API calls.
        pixels: Bytes of pictures that are being compared; taken before any of `contents`.
        exports: For calls that write or copy many files, one after the other.
        results: Bytes of the results of whole runs that API calls have loaded.
    """

    reads: PhotoIo = field(default_factory=PhotoIo)
    looks: PhotoIo = field(default_factory=PhotoIo)
    decodes: PhotoIo = field(
        default_factory=lambda: PhotoIo(max_threads=(os.cpu_count() or 1) + 1, stall_s=None)
    )
    views: PhotoIo = field(
        default_factory=lambda: PhotoIo(max_threads=os.cpu_count() or 1, stall_s=None)
    )
    contents: Turns = field(default_factory=lambda: Turns(MAX_CONTENT_BYTES))
    pixels: Turns = field(default_factory=lambda: Turns(MAX_PIXEL_BYTES))
    exports: PhotoIo = field(default_factory=lambda: PhotoIo(stall_s=EXPORT_STALL_S))

    results: Turns = field(default_factory=lambda: Turns(MAX_RESULT_BYTES))

    def hold_results(self, *runs: Run) -> contextlib.AbstractAsyncContextManager[None]:
        """Reserves room for these runs' results; if they exceed the limit, takes all room."""
        count = sum(run.summary.photo_count for run in runs if run.summary)
        return self.results.hold(count * RESULT_BYTES)

    @contextlib.asynccontextmanager
    async def hold_content(
        self,
        source: PhotoSource,
        path: str,
        content_digest: str,
        reads: PhotoIo,
        decodes: PhotoIo,
    ) -> AsyncIterator[bytes]:
        """Reads a photo again once there is room for it, and keeps the room reserved in the block.

        A caller that holds one photo must not wait for another; to hold several, use `contents`.
        `reads` reads the file, and `decodes` computes its digest.

        Raises:
            InvalidImageError, UnavailableError: As for `PhotoSource.read`.
            FailedPreconditionError: The photo's sha256 is not `content_digest`.
        """
        size = await reads.run(source.size, path)
        async with self.contents.hold(size):
            content = await reads.run(source.read, path, size)
            if await decodes.run(_digest, content) != content_digest:
                raise FailedPreconditionError(
                    f"{path} has changed since it was scored; start a new run"
                )
            yield content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _retrieve_error(future: asyncio.Future[Any]) -> None:
    """Keeps asyncio from logging the late failure of a call that nobody is waiting for."""
    if not future.cancelled():
        future.exception()
