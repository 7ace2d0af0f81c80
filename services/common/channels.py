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


def open_channel(address: str, *, max_message_bytes: int) -> grpc.aio.Channel:
    """Opens a channel to `address` ("host:port", or "dns:///name:port" for all its replicas).

    Calls that find the service unavailable are tried four times within about two seconds. Every
    call needs its own `timeout`.
    """
    return grpc.aio.insecure_channel(
        address,
        options=[
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
