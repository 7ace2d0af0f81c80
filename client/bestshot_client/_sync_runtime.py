"""The parts of the blocking client that differ in the asynchronous one; see `_async_runtime`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import grpc

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")
P = ParamSpec("P")

sleep = time.sleep
secure_channel = grpc.secure_channel
insecure_channel = grpc.insecure_channel


def run_blocking(call: Callable[P, AnswerT], *args: P.args, **kwargs: P.kwargs) -> AnswerT:
    """Makes a call that blocks."""
    return call(*args, **kwargs)


def map_ordered(
    call: Callable[[RequestT], AnswerT], requests: Iterator[RequestT], limit: int
) -> list[AnswerT]:
    """Makes calls, at most `limit` at a time; returns the answers in the order of the requests.

    Requests are built only when there is room for them. After the first error, no new call starts.
    """
    answers: list[AnswerT] = []
    pending: deque[Future[AnswerT]] = deque()
    with ThreadPoolExecutor(limit) as threads:
        try:
            for request in requests:
                if len(pending) == limit:
                    answers.append(pending.popleft().result())
                pending.append(threads.submit(call, request))
            while pending:
                answers.append(pending.popleft().result())
        finally:
            for future in pending:
                future.cancel()
    return answers


def cancel(call: Any) -> None:  # noqa: ANN401
    """Ends a stream that is no longer read."""
    call.cancel()
