"""Client channels: message limits, retries, load balancing, request id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import grpc

from services.common.interceptors import REQUEST_ID_KEY, request_id

_SERVICE_CONFIG: Mapping[str, Any] = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            # only UNAVAILABLE: the call did not reach a server, or the server refused to take it
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

KEEPALIVE = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),  # servers allow what clients do
)
"""The same for clients and servers: a peer that is gone without a word is noticed within 40 s."""


def open_channel(address: str, *, max_message_bytes: int) -> grpc.aio.Channel:
    """Opens a channel.

    Args:
        address: "host:port"; or for several replicas, of which each takes its share of the calls,
            "dns:///name:port" or "ipv4:host:port,host:port".
        max_message_bytes: Largest message sent or taken.

    Calls that find the service unavailable are tried four times within about two seconds. Every
    call needs its own `timeout`.
    """
    return grpc.aio.insecure_channel(
        address,
        options=[
            *KEEPALIVE,
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
            ("grpc.enable_retries", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ],
    )


def call_metadata() -> tuple[tuple[str, str], ...]:
    """Metadata that carries the current request id on to the next service."""
    return ((REQUEST_ID_KEY, request_id.get()),)
