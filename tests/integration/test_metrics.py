"""The metrics that Prometheus reads from a running service."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.image.v1 import image_pb2
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.cli.supervisor import Supervisor
from services.common.errors import ConfigError
from tests.integration.up import free_ports
from tests.waiting import http_get

CALL = ("unary", "bestshot.embedding.v1.EmbeddingService", "Embed")


def values(address: str) -> dict[tuple[str, ...], float]:
    """Returns every sample by its name and the labels of gRPC dashboards, if it has them."""
    text = http_get(f"http://{address}/metrics").text
    labels = ("grpc_type", "grpc_service", "grpc_method", "grpc_code")
    return {
        (sample.name, *(sample.labels[name] for name in labels if name in sample.labels)): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }


def test_calls_inferences_and_the_model_are_reported(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    supervisor = Supervisor(tmp_path, [])
    arguments = ["--address", "127.0.0.1:0", "--set", f"metrics_address={address}"]
    image = image_pb2.Image(pixels=image_pb2.Pixels(width_px=8, height_px=8, rgb=bytes(192)))
    try:
        supervisor.start("embedding", arguments)
        with grpc.insecure_channel(supervisor.wait_for_address("embedding")) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            for _ in range(3):
                stub.Embed(embedding_pb2.EmbedRequest(images=[image] * 2))
            with pytest.raises(grpc.RpcError):
                stub.Embed(embedding_pb2.EmbedRequest())
            info = stub.GetModelInfo(embedding_pb2.GetModelInfoRequest()).model
        found = values(address)
        text = http_get(f"http://{address}/metrics").text
        supervisor.start("quality", arguments)
        with pytest.raises(ConfigError, match="metrics_address: cannot listen"):
            supervisor.wait_for_address("quality")
        arguments[-1] = "metrics_address=0.0.0.0:0"
        supervisor.start("face", arguments)
        with pytest.raises(ConfigError, match=r"metrics_address 0\.0\.0\.0 can be reached"):
            supervisor.wait_for_address("face")
    finally:
        supervisor.stop()
    assert found["grpc_server_started_total", *CALL] == 4
    assert found["grpc_server_handled_total", *CALL, "OK"] == 3
    assert found["grpc_server_handled_total", *CALL, "InvalidArgument"] == 1
    assert found["grpc_server_handling_seconds_count", *CALL] == 4
    assert found["bestshot_batch_items_sum",] == 6
    assert found["bestshot_queue_items",] == 0
    assert info.digest in text
