"""Checks whether a part on this machine is serving: `python -P -m services.common.rpc.probe PART`.

This is for containers whose platform has no gRPC probe, or none over TLS. The exit code is 0 if the
part is serving, otherwise 1. With TLS, the part's certificate must also be for `localhost`.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.config.folders import config_dir, default_profile
from services.common.config.layers import read_service
from services.common.config.sections import SharedSettings, load_section
from services.common.config.tls import SYSTEM
from services.common.errors import EXIT_CONFIG, ConfigError
from services.common.process.signals import split_address
from services.common.rpc.channels import service_name
from services.common.rpc.tls import channel_credentials

TIMEOUT_S = 3.0
NAME = "localhost"
EVERY_ADDRESS = ("0.0.0.0", "[::]")  # noqa: S104


def main() -> None:
    """Runs the probe in this process."""
    if len(sys.argv) != 2:
        print("usage: python -P -m services.common.rpc.probe PART", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG)
    try:
        problem = probe(sys.argv[1])
    except ConfigError as error:
        problem = error.message
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(1)


def probe(part: str) -> str:
    """Checks a part at its configured address; returns the problem, or "" if it is serving."""
    folder, profile = config_dir(None), default_profile()
    shared = load_section(folder, profile, "shared", SharedSettings)
    address = read_service(folder, profile, part).get("address", "")
    host, port = split_address(address)
    if not port:
        return f"there is no part {part!r} with an address in services.yaml"
    if host in EVERY_ADDRESS:
        address = f"{NAME}:{port}"
    return _probe_page(address, shared) if part == "ui" else _probe_grpc(address, part, shared)


def _probe_grpc(address: str, part: str, shared: SharedSettings) -> str:
    credentials = channel_credentials(shared.tls)
    opened = (
        grpc.insecure_channel(address)
        if credentials is None
        else grpc.secure_channel(address, credentials, [("grpc.ssl_target_name_override", NAME)])
    )
    request = health_pb2.HealthCheckRequest(service=service_name(part))
    with opened as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return f"{part} at {address}: {error.code().name}, {error.details()}"
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if status == "SERVING" else f"{part} at {address} is {status}"


def _probe_page(address: str, shared: SharedSettings) -> str:
    host, port = split_address(address)
    page = http.client.HTTPConnection(NAME, int(port))
    try:
        page.sock = socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_S)
        if shared.tls.certificate_file is not None:
            authority = shared.tls.ca_file
            context = ssl.create_default_context(cafile=None if authority == SYSTEM else authority)
            page.sock = context.wrap_socket(page.sock, server_hostname=NAME)
        page.request("GET", "/healthz")
        status = page.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"the ui at {address}: {error}"
    finally:
        page.close()
    return "" if status == http.HTTPStatus.OK else f"the ui at {address} answers {status}"


if __name__ == "__main__":
    main()
