"""Checks whether a part on this machine is serving: `python -P -m services.common.rpc.probe PART`.

This is for containers whose platform has no gRPC probe, or none over TLS. The exit code is 0 if the
part is serving, otherwise 1.
"""

from __future__ import annotations

import ssl
import sys
import urllib.error
import urllib.request

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
    _, port = split_address(address)
    if not port:
        return f"there is no part {part!r} with an address in services.yaml"
    target = f"localhost:{port}"
    return _probe_page(target, shared) if part == "ui" else _probe_grpc(target, part, shared)


def _probe_grpc(target: str, part: str, shared: SharedSettings) -> str:
    credentials = channel_credentials(shared.tls)
    opened = (
        grpc.insecure_channel(target)
        if credentials is None
        else grpc.secure_channel(target, credentials)
    )
    request = health_pb2.HealthCheckRequest(service=service_name(part))
    with opened as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return f"{part} at {target}: {error.code().name}, {error.details()}"
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if status == "SERVING" else f"{part} at {target} is {status}"


def _probe_page(target: str, shared: SharedSettings) -> str:
    scheme = "http" if shared.tls.certificate_file is None else "https"
    url = f"{scheme}://{target}/healthz"
    authority = shared.tls.ca_file
    context = ssl.create_default_context(cafile=None if authority == SYSTEM else authority)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=context):  # noqa: S310
            return ""
    except OSError as error:
        return f"the ui at {url}: {error}"


if __name__ == "__main__":
    main()
