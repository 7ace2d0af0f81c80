"""Client channels: TLS, message limits, retries, load balancing; what goes with every call."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from services.common.auth import AUTHORIZATION_KEY, read_token
from services.common.interceptors import REQUEST_ID_KEY, request_id
from services.common.service_config import SharedSettings
from services.common.tls import channel_credentials, check_tls

KEEPALIVE = (
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 15_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),  # servers allow what clients do
)
"""The same for clients and servers: a peer that is gone without a word is noticed within 25 s."""


@dataclass(frozen=True)
class ClientOptions:
    """How the other parts are called.

    Attributes:
        max_message_bytes: Largest message sent or taken.
        credentials: Of TLS; None = without.
        token: Sent with every call; empty = none.
    """

    max_message_bytes: int
    credentials: grpc.ChannelCredentials | None
    token: str


def client_options(shared: SharedSettings) -> ClientOptions:
    """How the settings want other parts to be called.

    Raises:
        ConfigError: A file of a certificate or of the token is missing or wrong.
    """
    check_tls(shared.tls)
    return ClientOptions(
        max_message_bytes=shared.max_message_bytes,
        credentials=channel_credentials(shared.tls),
        token=read_token(shared.token_file),
    )


def open_channel(address: str, service: str, options: ClientOptions) -> grpc.aio.Channel:
    """Opens a channel.

    Args:
        address: "host:port"; or for several replicas, of which each takes its share of the calls,
            "dns:///name:port" or "ipv4:host:port,host:port".
        service: Full name of the gRPC service; replicas whose health says that it does not
            serve are left out.
        options: How it is called.

    Calls that find the service unavailable are tried four times within about a second. Every call
    needs its own `timeout`.
    """
    arguments = [
        *KEEPALIVE,
        ("grpc.max_send_message_length", options.max_message_bytes),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.service_config", json.dumps(_service_config(service))),
        ("grpc.enable_retries", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.dns_min_time_between_resolutions_ms", 5000),  # 30 s would hide new replicas longer
    ]
    if options.credentials is None:
        return grpc.aio.insecure_channel(address, options=arguments)
    return grpc.aio.secure_channel(address, options.credentials, options=arguments)


def service_name(part: str) -> str:
    """Full name of a part's gRPC service."""
    return f"bestshot.{part}.v1.{part.capitalize()}Service"


def call_metadata(options: ClientOptions) -> tuple[tuple[str, str], ...]:
    """Metadata that carries the current request id on to the next service, and the token."""
    request = (REQUEST_ID_KEY, request_id.get() or uuid.uuid4().hex)
    return (
        (request, (AUTHORIZATION_KEY, f"Bearer {options.token}")) if options.token else (request,)
    )


def _service_config(service: str) -> Mapping[str, Any]:
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": service},
        "methodConfig": [
            {
                "name": [{}],
                # only UNAVAILABLE: the call reached no server, or the server refused to take it
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
