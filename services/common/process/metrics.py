"""Prometheus metrics of a part."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, start_http_server

from services.common.errors import ConfigError
from services.common.process.signals import check_loopback, split_address

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ITEMS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The metrics of one part, in a separate registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "bestshot_calls",
            "Calls answered, by method and status code.",
            ("method", "code"),
            registry=self.registry,
        )
        self._call_seconds = Histogram(
            "bestshot_call_seconds",
            "Time from a call's arrival to its response.",
            ("method",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch_items = Histogram(
            "bestshot_batch_items", "Items per inference.", buckets=_ITEMS, registry=self.registry
        )
        self._stage_seconds = Histogram(
            "bestshot_stage_seconds",
            "Time to prepare an item, to wait for an inference, and to run an inference.",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._queue_items = Gauge(
            "bestshot_queue_items", "Items that are waiting or in progress.", registry=self.registry
        )
        self._model = Info("bestshot_model", "The model in use.", registry=self.registry)

    def call(self, method: str, code: str, seconds: float) -> None:
        """Counts a call: its full method name, status code and duration."""
        self._calls.labels(method, code).inc()
        self._call_seconds.labels(method).observe(seconds)

    def stage(self, stage: Literal["prepare", "wait", "inference"], seconds: float) -> None:
        """Records how long a stage took."""
        self._stage_seconds.labels(stage).observe(seconds)

    def batch(self, item_count: int) -> None:
        """Counts the items of an inference."""
        self._batch_items.observe(item_count)

    def queue_changed(self, item_count: int) -> None:
        """Counts items that arrived, or, if negative, that left."""
        self._queue_items.inc(item_count)

    def model(self, model_id: str, version: str, digest: str) -> None:
        """Records the model in use."""
        self._model.info({"id": model_id, "version": version, "digest": digest})

    @contextlib.contextmanager
    def serve(self, address: str | None, *, is_local_only: bool) -> Iterator[None]:
        """Answers GET /metrics at `address`, "host:port"; None = does not listen.

        Raises:
            ConfigError: It cannot listen there, or other machines could reach the address although
                `is_local_only` is set.
        """
        if address is None:
            yield
            return
        host, port = split_address(address)
        if is_local_only:
            check_loopback(host, "metrics_address")
        try:
            server, thread = start_http_server(int(port), host, self.registry)
        except (OSError, ValueError) as error:
            raise ConfigError(f"metrics_address: cannot listen on {address!r}: {error}") from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
