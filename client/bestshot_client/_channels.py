"""Addresses, credentials and channel options for the services.

The service config duplicates that of `services.common.rpc.channels`, because this library is
installed without the services and neither imports the other.
"""

from __future__ import annotations

import ipaddress
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

Role = Literal["orchestrator", "embedding", "quality", "face", "siamese"]
MAX_MESSAGE_BYTES = 64 * 2**20
"""Same as `shared.max_message_bytes` of the servers."""
MAX_ATTEMPTS = 4


@dataclass(frozen=True)
class Addresses:
    """Addresses of the parts, each "host:port" or a gRPC target; None = not used.

    The defaults match `bestshot up`.
    """

    orchestrator: str | None = "127.0.0.1:50050"
    embedding: str | None = "127.0.0.1:50051"
    quality: str | None = "127.0.0.1:50052"
    face: str | None = "127.0.0.1:50053"
    siamese: str | None = "127.0.0.1:50054"

    def of(self, role: Role) -> str:
        """Returns the address of a part; raises ValueError if none was given."""
        address: str | None = getattr(self, role)
        if address is None:
            raise ValueError(f"no address for the {role}: pass Addresses({role}='host:port')")
        return address


@dataclass(frozen=True)
class Security:
    """How the caller authenticates and verifies the server.

    Attributes:
        token: Sent with every call; empty = none.
        ca_file: PEM certificates of trusted authorities; implies `tls`.
        certificate_file: PEM certificate of the caller, if the servers require one.
        key_file: Its private key.
        tls: Whether connections use TLS; without `ca_file`, servers are verified against the
            system's root certificates.
        allow_plaintext_token: Whether the token may be sent without TLS to other machines.
    """

    token: str = ""
    ca_file: Path | str | None = None
    certificate_file: Path | str | None = None
    key_file: Path | str | None = None
    tls: bool = False
    allow_plaintext_token: bool = False

    def __repr__(self) -> str:
        """Hides the token."""
        return f"Security(token={'...' if self.token else ''!r}, ca_file={self.ca_file!r})"

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Returns the TLS credentials; None without TLS. Raises OSError if a file is unreadable."""
        if not self._is_encrypted:
            return None
        roots = system_roots() if self.ca_file is None else Path(self.ca_file).read_bytes()
        if self.certificate_file is None or self.key_file is None:
            return grpc.ssl_channel_credentials(roots)
        return grpc.ssl_channel_credentials(
            roots, Path(self.key_file).read_bytes(), Path(self.certificate_file).read_bytes()
        )

    def check(self, address: str) -> None:
        """Raises ValueError if the token would be sent unencrypted to another machine."""
        if self.token and not (
            self._is_encrypted or self.allow_plaintext_token or is_local(address)
        ):
            raise ValueError(
                f"the token would be sent unencrypted to {address}: use Security(tls=True), or "
                f"ca_file for your own authority, or allow_plaintext_token=True on a trusted "
                f"network"
            )

    @property
    def _is_encrypted(self) -> bool:
        return self.tls or self.ca_file is not None

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns the metadata to send with every call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()


def system_roots() -> bytes | None:
    """Returns the system's trusted root certificates as PEM; None = those bundled with gRPC."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(map(ssl.DER_cert_to_PEM_cert, found)).encode() or None


def is_local(address: str) -> bool:
    """Whether a gRPC target is certain to be local: a loopback address or a Unix socket."""
    scheme, _, rest = address.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return True
    targets = rest if scheme in ("dns", "ipv4", "ipv6") else address
    return all(_is_loopback(one) for one in targets.rpartition("/")[2].split(","))


def _is_loopback(target: str) -> bool:
    host, _, port = target.rpartition(":")
    host = (host if port.isdigit() else target).strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def service_name(role: Role) -> str:
    """Returns the full name of a part's gRPC service."""
    return f"bestshot.{role}.v1.{role.capitalize()}Service"


def channel_options(role: Role) -> list[tuple[str, Any]]:
    """Builds the options: message limits, retries if a server is unavailable, load balancing."""
    return [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.service_config", json.dumps(service_config(service_name(role)))),
    ]


def safe_methods(service: str) -> list[str]:
    """Lists a service's methods that are always safe to repeat, with the option NO_SIDE_EFFECTS."""
    try:
        found = descriptor_pool.Default().FindServiceByName(service)
    except KeyError:
        return []
    return [
        method.name
        for method in found.methods
        if method.GetOptions().idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    ]


def service_config(name: str) -> Mapping[str, Any]:
    """Builds a channel's service config; methods without side effects are tried four times."""
    config: dict[str, Any] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": name},
    }
    if methods := safe_methods(name):
        config["methodConfig"] = [
            {
                "name": [{"service": name, "method": method} for method in methods],
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
