"""Prometheus metrics of a part."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, start_http_server

from services.common.errors import ConfigError
from services.common.process.signals import check_loopback, split_address

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ITEMS = (1, 2, 4, 8, 16, 32, 64)


class CallLabels(NamedTuple):
    """Labels of a call, in the order of the metrics' labels.

    Attributes:
        grpc_type: "unary", "client_stream", "server_stream" or "bidi_stream".
        grpc_service: Full name of the service: "bestshot.face.v1.FaceService".
        grpc_method: Name of the method: "Analyze".
    """

    grpc_type: str
    grpc_service: str
    grpc_method: str

    @classmethod
    def of(
        cls, path: str, *, is_request_stream: bool = False, is_response_stream: bool = False
    ) -> CallLabels:
        """Reads the labels from a call's path: "/bestshot.face.v1.FaceService/Analyze"."""
        kinds = ("unary", "server_stream", "client_stream", "bidi_stream")
        service, _, method = path.removeprefix("/").rpartition("/")
        return cls(kinds[2 * is_request_stream + is_response_stream], service, method)


_CALL_LABELS = CallLabels._fields


def _code_name(code: grpc.StatusCode) -> str:
    """Spells the name of a status code as Go does: "OK", "InvalidArgument", "Canceled"."""
    special = {grpc.StatusCode.OK: "OK", grpc.StatusCode.CANCELLED: "Canceled"}
    return special.get(code) or code.name.title().replace("_", "")


class Metrics:
    """The metrics of one part, in a separate registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # names and labels of go-grpc-middleware, which gRPC dashboards use
        self._started_calls = Counter(
            "grpc_server_started",
            "Calls that arrived.",
            _CALL_LABELS,
            registry=self.registry,
        )
        self._handled_calls = Counter(
            "grpc_server_handled",
            "Calls that ended, by status code.",
            (*_CALL_LABELS, "grpc_code"),
            registry=self.registry,
        )
        self._handling_seconds = Histogram(
            "grpc_server_handling_seconds",
            "Time from a call's arrival to its end.",
            _CALL_LABELS,
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

    def start_call(self, labels: CallLabels) -> None:
        """Counts a call that arrived."""
        self._started_calls.labels(*labels).inc()

    def end_call(self, labels: CallLabels, code: grpc.StatusCode, seconds: float) -> None:
        """Counts a call that ended, by its status code and duration."""
        self._handled_calls.labels(*labels, _code_name(code)).inc()
        self._handling_seconds.labels(*labels).observe(seconds)

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
            server, thread = start_http_server(int(port), host.strip("[]"), self.registry)
        except (OSError, ValueError) as error:
            raise ConfigError(f"metrics_address: cannot listen on {address!r}: {error}") from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
