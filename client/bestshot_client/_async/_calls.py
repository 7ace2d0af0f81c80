"""Channels, retries, pages and streams of the client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc

from bestshot_client import _async_runtime as runtime
from bestshot_client._channels import Addresses, Role, Security, channel_options
from bestshot_client._errors import Attempts
from bestshot_client._messages import PAGE_SIZE

CALL_TIMEOUT_S = 120.0
TRANSFER_TIMEOUT_S = 3600.0
CONCURRENCY = 4


class AsyncCalls:
    """State and helpers shared by all methods of the client.

    Args:
        addresses: Addresses of the parts.
        security: Token and certificates.
        timeout_s: Deadline of a call, and how long calls to a busy server are retried.
        concurrency: Maximum number of calls that one method makes at a time.
    """

    def __init__(
        self,
        addresses: Addresses | None = None,
        security: Security | None = None,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        concurrency: int = CONCURRENCY,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1 (got {concurrency})")
        self._addresses = addresses or Addresses()
        self._security = security or Security()
        self._credentials = self._security.credentials()
        self._metadata = self._security.metadata()
        self._timeout_s = timeout_s
        self._concurrency = concurrency
        self._channels: dict[Role, Any] = {}

    async def __aenter__(self) -> Self:
        """Returns the client."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the client."""
        await self.close()

    async def close(self) -> None:
        """Closes its channels."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    def _channel(self, role: Role) -> Any:  # noqa: ANN401
        if role not in self._channels:
            address, options = self._addresses.of(role), channel_options(role)
            self._security.check(address)
            self._channels[role] = (
                runtime.insecure_channel(address, options)
                if self._credentials is None
                else runtime.secure_channel(address, self._credentials, options)
            )
        return self._channels[role]

    @property
    def _orchestrator(self) -> Any:  # noqa: ANN401
        return orchestrator_pb2_grpc.OrchestratorServiceStub(self._channel("orchestrator"))

    async def _call(self, method: Any, request: Any) -> Any:  # noqa: ANN401
        return await self._repeat(partial(method, request), request, self._timeout_s)

    async def _map(self, method: Any, requests: Any) -> list[Any]:  # noqa: ANN401
        """Makes several calls at a time; returns their responses in order."""
        return await runtime.map_ordered(partial(self._call, method), requests, self._concurrency)

    async def _repeat(self, call: Any, request: Any, timeout_s: float) -> Any:  # noqa: ANN401
        attempts = Attempts(request, self._timeout_s)
        while True:
            try:
                return await call(timeout=timeout_s, metadata=self._metadata)
            except grpc.RpcError as error:
                pause = attempts.pause_after(error)
            await runtime.sleep(pause)

    async def _pages(
        self,
        method: Any,  # noqa: ANN401
        request: Any,  # noqa: ANN401
        items: Callable[[Any], Any],
    ) -> AsyncIterator[Any]:
        """Yields the items of all pages of a list."""
        request.page_size = PAGE_SIZE
        while True:
            answer = await self._call(method, request)
            for item in items(answer):
                yield item
            request.page_token = answer.next_page_token
            if not answer.next_page_token:
                return

    async def _stream(
        self,
        method: Any,  # noqa: ANN401
        request: Any,  # noqa: ANN401
        timeout_s: float | None,
    ) -> AsyncIterator[Any]:
        """Yields the messages of a stream; retries the call only before the first one."""
        attempts, is_open = Attempts(request, self._timeout_s), True
        while is_open:
            pause = 0.0
            call = method(request, timeout=timeout_s, metadata=self._metadata)
            try:
                async for message in call:
                    attempts.end()
                    yield message
                is_open = False
            except grpc.RpcError as error:
                pause = attempts.pause_after(error)
            finally:
                runtime.cancel(call)
            await runtime.sleep(pause)
