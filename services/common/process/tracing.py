"""OpenTelemetry tracing, if the `tracing` extra is installed and a collector is set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from services.common.errors import ConfigError


@contextlib.contextmanager
def tracing(part: str, endpoint: str | None) -> Iterator[None]:
    """Traces every gRPC call that this process serves or makes within the block.

    Args:
        part: Name of the part: the spans' `service.name` is "bestshot-<part>".
        endpoint: "host:port" of a collector for OTLP over gRPC; None = no tracing.

    Raises:
        ConfigError: The extra is not installed.
    """
    if endpoint is None:
        yield
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.grpc import (
            GrpcAioInstrumentorClient,
            GrpcAioInstrumentorServer,
            filters,
        )
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            f"shared.tracing_endpoint is set, but tracing is not installed ({error}): install "
            f"'bestshot[tracing]', or set it to null"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": f"bestshot-{part}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, insecure=True)))
    trace.set_tracer_provider(provider)
    without_health = filters.negate(filters.health_check())
    GrpcAioInstrumentorServer(filter_=without_health).instrument()
    GrpcAioInstrumentorClient(filter_=without_health).instrument()
    try:
        yield
    finally:
        provider.shutdown()


@contextlib.contextmanager
def span(name: str, **attributes: str) -> Iterator[None]:
    """Returns a span around the block; does nothing without tracing."""
    try:
        from opentelemetry import trace
    except ImportError:
        yield
        return
    with trace.get_tracer("bestshot").start_as_current_span(name, attributes=attributes):
        yield
