"""The parts of the asynchronous client that differ in the blocking one; see `_sync_runtime`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import grpc

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")

sleep = asyncio.sleep
run_blocking = asyncio.to_thread
secure_channel = grpc.aio.secure_channel
insecure_channel = grpc.aio.insecure_channel


async def map_ordered(
    call: Callable[[RequestT], Awaitable[AnswerT]], requests: Iterator[RequestT], limit: int
) -> list[AnswerT]:
    """Makes calls, at most `limit` at a time; returns the answers in the order of the requests.

    Requests are built only when there is room for them. The first error cancels the other calls.
    """
    answers: list[AnswerT] = []
    pending: deque[asyncio.Future[AnswerT]] = deque()
    try:
        while (request := await asyncio.to_thread(next, requests, None)) is not None:
            if len(pending) == limit:
                answers.append(await pending[0])
                pending.popleft()
            pending.append(asyncio.ensure_future(call(request)))
        while pending:
            answers.append(await pending[0])
            pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    return answers


def cancel(call: Any) -> None:  # noqa: ANN401
    """Ends a stream that is no longer read."""
    call.cancel()
