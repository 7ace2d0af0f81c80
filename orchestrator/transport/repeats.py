"""Makes mutating calls safe to repeat, based on their request_id (AIP-155).

If a process dies between making a change and storing its answer, the repeated call runs again and
changes nothing: the ids of created objects are derived from the request_id, so the call finds
existing ones, and all other changes are recorded in their own transaction (see `storage.answers`).
An export is written again.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import uuid
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from google.protobuf import message_factory
from google.protobuf.message import Message

from orchestrator.storage.answers import Request, SqlAnswers, attribute_changes
from services.common.errors import InvalidArgumentError

AnswerT = TypeVar("AnswerT", bound=Message)
POLL_S = 0.2
"""How often a call checks whether another orchestrator has finished the same request."""
_METHODS = pb.DESCRIPTOR.services_by_name["OrchestratorService"].methods_by_name
_IDS = uuid.UUID("6f0a6c62-5b0c-4b57-9a57-35a7c2f1f2a4")


class Repeatable(Protocol):
    """A servicer whose mutating methods are wrapped by `deduplicate`."""

    repeats: Repeats


class Repeats:
    """Runs each request once, and returns the same answer to callers that repeat it."""

    def __init__(self, answers: SqlAnswers) -> None:
        self._answers = answers
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run_once(
        self, method: str, request: Message, request_id: str, work: Callable[[], Awaitable[AnswerT]]
    ) -> AnswerT:
        """Returns the stored answer to a request; if there is none, runs `work` and stores its own.

        Args:
            method: Name of the rpc.
            request: The content of the call.
            request_id: A UUID; empty = the answer is not stored.
            work: Makes the change.

        Raises:
            InvalidArgumentError: The id is not a UUID, or was used for a different request.
        """
        if not request_id:
            return await work()
        key = _check_id(request_id)
        content = method.encode() + b"\0" + request.SerializeToString(deterministic=True)
        digest = hashlib.sha256(content).hexdigest()
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            while not await asyncio.to_thread(self._answers.try_lock, key):
                await asyncio.sleep(POLL_S)
            try:
                known = await asyncio.to_thread(self._answers.find, key, digest)
                if known is not None:
                    answer_type = message_factory.GetMessageClass(_METHODS[method].output_type)
                    return answer_type.FromString(known)  # type: ignore[return-value]
                with attribute_changes(Request(key, digest)):
                    answer = await work()
                stored = answer.SerializeToString()
                await asyncio.to_thread(self._answers.remember, key, digest, stored)
                return answer
            finally:
                await asyncio.to_thread(self._answers.unlock, key)

    async def shield(self, work: Awaitable[AnswerT]) -> AnswerT:
        """Awaits `work`, which continues if the caller disconnects: a retry may need its answer."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # already raised in the caller, unless it has disconnected


def deduplicate(handler: Callable[..., Awaitable[AnswerT]]) -> Callable[..., Awaitable[AnswerT]]:
    """Wraps a mutating servicer method that takes one request, not a stream."""

    @functools.wraps(handler)
    async def run_once(self: Repeatable, request: Any, context: Any) -> AnswerT:  # noqa: ANN401
        def work() -> Awaitable[AnswerT]:
            return handler(self, request, context)

        if not request.request_id or getattr(request, "validate_only", False):
            return await work()
        answering = self.repeats.run_once(handler.__name__, request, request.request_id, work)
        return await self.repeats.shield(answering)

    return run_once


def new_id(request_id: str) -> str:
    """Makes the id of an object that a request creates; a repeated request gets the same id."""
    return uuid.uuid5(_IDS, _check_id(request_id)).hex if request_id else uuid.uuid4().hex


def _check_id(request_id: str) -> str:
    try:
        return str(uuid.UUID(request_id))
    except ValueError as error:
        raise InvalidArgumentError("request_id", f"{request_id!r} is not a UUID") from error
