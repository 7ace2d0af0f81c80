"""Where the services are, who calls them, and how a channel to one is opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import grpc

Role = Literal["orchestrator", "embedding", "quality", "face", "siamese"]
MAX_MESSAGE_BYTES = 64 * 2**20
"""As `shared.max_message_bytes` of the servers."""


@dataclass(frozen=True)
class Addresses:
    """Where the parts are, each "host:port" or a gRPC target; None = it is not called.

    The defaults are those of `bestshot up`.
    """

    orchestrator: str | None = "127.0.0.1:50050"
    embedding: str | None = "127.0.0.1:50051"
    quality: str | None = "127.0.0.1:50052"
    face: str | None = "127.0.0.1:50053"
    siamese: str | None = "127.0.0.1:50054"

    def of(self, role: Role) -> str:
        """Address of a part; ValueError where none was given."""
        address: str | None = getattr(self, role)
        if address is None:
            raise ValueError(f"no address of the {role} was given: Addresses({role}='host:port')")
        return address


@dataclass(frozen=True)
class Security:
    """How the caller shows who it is and believes the server.

    Attributes:
        token: Sent with every call; empty = none.
        ca_file: PEM certificates of the authorities that are believed; None = no TLS.
        certificate_file: PEM certificate of the caller, where the servers ask for one.
        key_file: Its private key.
    """

    token: str = ""
    ca_file: Path | str | None = None
    certificate_file: Path | str | None = None
    key_file: Path | str | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return f"Security(token={'...' if self.token else ''!r}, ca_file={self.ca_file!r})"

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Of TLS; None without. OSError where a file cannot be read."""
        if self.ca_file is None:
            return None
        if self.certificate_file is None or self.key_file is None:
            return grpc.ssl_channel_credentials(Path(self.ca_file).read_bytes())
        return grpc.ssl_channel_credentials(
            Path(self.ca_file).read_bytes(),
            Path(self.key_file).read_bytes(),
            Path(self.certificate_file).read_bytes(),
        )

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()


def service_name(role: Role) -> str:
    """Full name of a part's gRPC service."""
    return f"bestshot.{role}.v1.{role.capitalize()}Service"


def channel_options(role: Role) -> list[tuple[str, Any]]:
    """Message limits, retries where a server is unavailable, and a share for every replica."""
    return [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.service_config", json.dumps(service_config(service_name(role)))),
    ]


def service_config(name: str) -> Mapping[str, Any]:
    """The service config of a channel; a call that reached no server is tried four times."""
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": name},
        "methodConfig": [
            {
                "name": [{}],
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
