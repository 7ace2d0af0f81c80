"""A run as operators see it: JSON logs, traces and metrics of all parts, linked by its id."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import yaml
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.cli.parts import MODEL_SERVICES
from tests.conftest import ROOT, draw_picture
from tests.integration.parts import model_services, orchestrator
from tests.integration.up import free_ports
from tests.waiting import http_get

PHOTO_COUNT = 6


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OpenTelemetry collector that keeps what it receives."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@dataclass(frozen=True)
class Observed:
    """The logs, traces and metrics of two runs on the same photos."""

    run_id: str
    spans: list[tuple[str, Any]]
    logs: dict[str, list[dict[str, Any]]]
    metrics: str


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    base = tmp_path_factory.mktemp("observed")
    photos = base / "photos"
    photos.mkdir()
    for number in range(PHOTO_COUNT):
        Image.fromarray(draw_picture(number, 320, 240)).save(photos / f"{number}.jpg")
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    (metrics_port,) = free_ports(1)
    metrics_address = f"127.0.0.1:{metrics_port}"
    with pytest.MonkeyPatch.context() as patch:
        prefix = "BESTSHOT_SERVICES__SHARED__"
        patch.setenv(f"{prefix}TRACING_ENDPOINT", f"127.0.0.1:{port}")
        patch.setenv(f"{prefix}LOG_FORMAT", "json")
        patch.setenv(f"{prefix}LOG_LEVEL", "debug")
        with model_services(base / "services") as services:
            own = {name: part.address for name, part in services.items()}
            with orchestrator(
                base / "orchestrator", own, photos, metrics_address=metrics_address
            ) as part:
                run_id = part.begin()
                assert part.end(run_id).state == pb.RUN_STATE_COMPLETED
                part.end(part.begin())
                metrics = http_get(f"http://{metrics_address}/metrics").text
    server.stop(1).wait()
    folders = {name: base / "services" / name for name in MODEL_SERVICES}
    folders["orchestrator"] = base / "orchestrator"
    logs = {
        name: [json.loads(line) for line in (folder / f"{name}.log").read_text().splitlines()]
        for name, folder in folders.items()
    }
    return Observed(run_id, collector.spans, logs, metrics)


def test_every_line_of_a_log_is_an_object_that_names_its_part(observed: Observed) -> None:
    for name, lines in observed.logs.items():
        assert lines
        for line in lines:
            assert {"timestamp", "level", "logger", "part", "request_id", "message"} <= set(line)
            assert line["part"] == name


def test_the_logs_of_all_services_can_be_found_by_the_runs_id(observed: Observed) -> None:
    for name in ("embedding", "quality", "face"):
        found = [line for line in observed.logs[name] if line["request_id"] == observed.run_id]
        assert any(" OK " in line["message"] for line in found), name


def test_the_spans_of_a_run_are_one_trace_across_the_services(observed: Observed) -> None:
    runs = [
        span
        for _, span in observed.spans
        if span.name == "run"
        and any(one.value.string_value == observed.run_id for one in span.attributes)
    ]
    assert len(runs) == 1
    parts = {part for part, span in observed.spans if span.trace_id == runs[0].trace_id}
    assert {f"bestshot-{name}" for name in ("orchestrator", "embedding", "quality", "face")} <= (
        parts
    )
    assert not any("Health" in span.name for _, span in observed.spans)


def samples(metrics: str) -> dict[str, float]:
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }


def test_the_orchestrator_counts_runs_stages_and_cache_hits(observed: Observed) -> None:
    found = samples(observed.metrics)
    assert found["bestshot_runs_total[('state', 'completed')]"] == 2
    assert found["bestshot_run_stage_seconds_count[('stage', 'score')]"] == 2
    for outcome in ("hit", "miss"):
        key = f"bestshot_cache_lookups_total[('outcome', '{outcome}'), ('role', 'face')]"
        assert found[key] == PHOTO_COUNT


def test_the_dashboard_and_the_alerts_use_existing_metrics(observed: Observed) -> None:
    import re

    from services.common.process.metrics import Metrics

    known = {family.name for family in text_string_to_metric_families(observed.metrics)} | {
        family.name for family in Metrics().registry.collect()
    }
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "bestshot.json").read_text())
    queries = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])
    ]
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text())
    queries += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert len(queries) > 12
    for query in queries:
        for name in re.findall(r"\bbestshot_\w+", query):
            base = re.sub(r"_(total|bucket|sum|count|info)$", "", name)
            assert base in known or name in known, query
