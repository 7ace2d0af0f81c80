"""Client channels (TLS, message limits, retries, load balancing) and call metadata.

gRPC itself handles retries and load balancing, through a service config. The same config is in
`bestshot_client._channels`: the client library is installed without the services, so neither
imports the other.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from inference import open_inference_pb2
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential

from services.common.config.sections import SharedSettings
from services.common.errors import ConfigError
from services.common.process.request_id import request_id
from services.common.process.signals import is_loopback, split_address
from services.common.rpc.auth import AUTHORIZATION_KEY, read_token
from services.common.rpc.interceptors import REQUEST_ID_KEY
from services.common.rpc.tls import channel_credentials, check_tls
from services.common.user_files import WatchedFile

KEEPALIVE = (
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 15_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),  # servers accept clients' pings
)
"""For clients and servers: a peer that vanishes silently is detected within 25 s."""

MAX_ATTEMPTS = 4
_OPEN_INFERENCE = "inference.GRPCInferenceService"


@dataclass(frozen=True)
class ClientOptions:
    """Options for calling the other parts.

    Attributes:
        max_message_bytes: Maximum size of a message, sent or received.
        credentials: TLS credentials; None = without TLS.
        token: Sent with every call if there is no `token_file`; empty = none.
        allow_plaintext_token: Whether the token may be sent without TLS to other machines.
        token_file: File with the token; a new one in it is used from the next call.
    """

    max_message_bytes: int
    credentials: grpc.ChannelCredentials | None
    token: str
    allow_plaintext_token: bool
    token_file: WatchedFile[str] | None = None

    def current_token(self) -> str:
        """Returns the token to send now; empty = none."""
        return self.token if self.token_file is None else self.token_file.content()


def client_options(shared: SharedSettings) -> ClientOptions:
    """Reads from the settings how to call other parts.

    Raises:
        ConfigError: A certificate file or the token file is missing or wrong.
    """
    check_tls(shared.tls)
    path = shared.token_file
    return ClientOptions(
        max_message_bytes=shared.max_message_bytes,
        credentials=channel_credentials(shared.tls),
        token="",
        allow_plaintext_token=shared.allow_plaintext_token,
        token_file=None if path is None else WatchedFile(path, read_token),
    )


def open_channel(address: str, service: str, options: ClientOptions) -> grpc.aio.Channel:
    """Opens a channel.

    Args:
        address: "host:port"; or for several replicas, which share the calls,
            "dns:///name:port" or "ipv4:host:port,host:port".
        service: Full name of the gRPC service; replicas that report it as not serving are skipped.
        options: Options of the channel.

    Calls without side effects are tried four times within about a second if the service is
    unavailable; use `call_once` for all others. Every call needs its own `timeout`.

    Raises:
        ConfigError: The token would be sent unencrypted to another machine.
    """
    is_open = options.credentials is None and not options.allow_plaintext_token
    if is_open and options.current_token():
        _check_local(address)
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
    """Returns the full name of a part's gRPC service."""
    return f"bestshot.{part}.v1.{part.capitalize()}Service"


def call_metadata(options: ClientOptions) -> tuple[tuple[str, str], ...]:
    """Builds the metadata of a call: the current request id and the token."""
    request = (REQUEST_ID_KEY, request_id.get() or uuid.uuid4().hex)
    token = options.current_token()
    return (request, (AUTHORIZATION_KEY, f"Bearer {token}")) if token else (request,)


def _check_local(address: str) -> None:
    """Refuses a gRPC target that may be on another machine."""
    scheme, _, rest = address.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return
    targets = rest if scheme in ("dns", "ipv4", "ipv6") else address
    for target in targets.rpartition("/")[2].split(","):
        if not is_loopback(split_address(target)[0] or target):
            raise ConfigError(
                f"the token of shared.token_file would be sent unencrypted to {address}: set "
                f"shared.tls.ca_file (to `system` for the system's root certificates), or on a "
                f"trusted network shared.allow_plaintext_token: true"
            )


def safe_methods(service: str) -> list[str]:
    """Lists a service's methods that are always safe to repeat, with the option NO_SIDE_EFFECTS.

    Args:
        service: Full name; the result is empty for a service that is not part of our API.
    """
    if service == _OPEN_INFERENCE:  # not our API, so it has no such option; all methods are safe
        return [
            method.name
            for method in open_inference_pb2.DESCRIPTOR.services_by_name[
                "GRPCInferenceService"
            ].methods
        ]
    try:
        found = descriptor_pool.Default().FindServiceByName(service)
    except KeyError:
        return []
    return [
        method.name
        for method in found.methods
        if method.GetOptions().idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    ]


async def call_once(
    method: Any,  # noqa: ANN401
    request: Any,  # noqa: ANN401
    timeout_s: float,
    options: ClientOptions,
) -> Any:  # noqa: ANN401
    """Calls a method with a single response; a change is applied at most once, even after a retry.

    A request with a field `request_id` gets an id, and is retried if there is no response. Other
    requests are tried once here: gRPC itself retries calls without side effects. For changes gRPC
    cannot do that, because a retry policy would also repeat requests without an id.

    Args:
        method: Method of a stub.
        request: A message; a stream of messages is sent once.
        timeout_s: Timeout of one attempt.
        options: Options of the stub's channel.
    """
    is_repeatable = hasattr(request, "request_id")
    if is_repeatable and not request.request_id:
        request.request_id = str(uuid.uuid4())
    attempts = AsyncRetrying(
        retry=retry_if_exception(_is_unavailable),
        wait=wait_exponential(multiplier=0.1, max=1.0),
        stop=stop_after_attempt(MAX_ATTEMPTS if is_repeatable else 1),
        reraise=True,
    )
    metadata = call_metadata(options)

    async def attempt() -> Any:  # noqa: ANN401
        return await method(request, timeout=timeout_s, metadata=metadata)

    return await attempts(attempt)


def _is_unavailable(error: BaseException) -> bool:
    return isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.UNAVAILABLE


def _service_config(service: str) -> Mapping[str, Any]:
    config: dict[str, Any] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": service},
    }
    if methods := safe_methods(service):
        config["methodConfig"] = [
            {
                "name": [{"service": service, "method": method} for method in methods],
                # a response may have been lost, so mutating methods are not listed
                "retryPolicy": {
                    "maxAttempts": MAX_ATTEMPTS,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    return config
