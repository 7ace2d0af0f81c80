"""Services and two orchestrators on separate hosts, with one PostgreSQL.

No matter which of them fails, a run ends with the same results as on a single machine.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import psycopg
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from bestshot_client import Addresses, Client

from orchestrator.cli.parts import MODEL_SERVICES
from tests.conftest import draw_pairs
from tests.integration.hosts import Host, HostedPart, hosts
from tests.integration.parts import Part, orchestrator
from tests.postgresql import Postgresql, running_postgresql
from tests.waiting import LIMIT_S, http_get, wait_until

PHOTO_COUNT = 24
MODEL_HOSTS = ("model-a", "model-b")
ORCHESTRATOR_HOSTS = ("orchestrator-a", "orchestrator-b")
PORTS = {name: 50051 + number for number, name in enumerate(MODEL_SERVICES)}
METRICS_PORT = 9000
SLOWLY = {"preferred_batch_count": "64", "max_queue_delay_ms": "400"}
"""A quality service waits for pictures that never arrive, so that runs take long enough for a test
to interfere, without using the processor."""
_ANY_REPLICA = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "bestshot.orchestrator.v1.OrchestratorService"},
}


@dataclass(frozen=True)
class Cluster:
    """Everything except the orchestrators.

    Attributes:
        hosts: The hosts, by name.
        services: The services on both model hosts.
        postgresql: The database server.
    """

    hosts: dict[str, Host]
    services: dict[tuple[str, str], HostedPart]
    postgresql: Postgresql

    def calls(self, host: str, service: str) -> float:
        """Returns the number of calls that a replica has answered so far."""
        return calls_at(f"{self.hosts[host].address}:{METRICS_PORT + PORTS[service]}")


def calls_at(metrics_address: str) -> float:
    """Returns the number of calls that a part has answered so far, without health checks."""
    text = http_get(f"http://{metrics_address}/metrics").text
    found = re.findall(
        r'grpc_server_handled_total\{grpc_code="OK".*grpc_service="bestshot.*\} (\S+)', text
    )
    return sum(map(float, found))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pairs(tmp_path_factory.mktemp("photos"), PHOTO_COUNT, 120, 90)


@pytest.fixture(scope="module")
def on_one_machine(
    services: dict[str, Part], photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """The results of a single machine with SQLite."""
    addresses = {name: part.address for name, part in services.items()}
    with orchestrator(tmp_path_factory.mktemp("alone"), addresses, photos) as part:
        run = part.end(part.begin())
        assert run.state == pb.RUN_STATE_COMPLETED
        return part.results(run.id)


@pytest.fixture(scope="module")
def cluster(on_one_machine: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("hosts")
    names = (*MODEL_HOSTS, *ORCHESTRATOR_HOSTS, "database")
    with hosts(names, folder) as made, contextlib.ExitStack() as stack:
        database = made["database"]
        server = stack.enter_context(
            running_postgresql(database.address, 5432, database.prefix, ["fsync=off"])
        )
        services = {
            (host, name): HostedPart(
                made[host],
                name,
                PORTS[name],
                {
                    "metrics_address": f"{made[host].address}:{METRICS_PORT + PORTS[name]}",
                    **(SLOWLY if name == "quality" else {}),
                },
            )
            for host in MODEL_HOSTS
            for name in MODEL_SERVICES
        }
        for part in services.values():
            stack.callback(part.stop, signal.SIGKILL)
            part.start()
        yield Cluster(made, services, server)


class Orchestrators:
    """Two orchestrators on one database, and the calls that tests make to either of them."""

    def __init__(
        self, cluster: Cluster, photos: Path, database: str, changes: Mapping[str, str]
    ) -> None:
        self._photos = photos
        self._database = database
        addresses = {
            f"{name}_address": "ipv4:"
            + ",".join(cluster.services[host, name].address for host in MODEL_HOSTS)
            for name in MODEL_SERVICES
        }
        settings = {
            **addresses,
            "batch_count": "1",
            "database_url": database,
            "allowed_roots": str([str(photos)]),
            **changes,
        }
        self.parts = []
        for host in ORCHESTRATOR_HOSTS:
            data = ("--data", str(cluster.hosts[host].folder / "data"))
            self.parts.append(
                HostedPart(cluster.hosts[host], "orchestrator", 50050, settings, data)
            )
        self._ask(self.parts)

    def _ask(self, parts: list[HostedPart]) -> None:
        target = "ipv4:" + ",".join(part.address for part in parts)
        options = [
            ("grpc.service_config", json.dumps(_ANY_REPLICA)),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        self.channel = grpc.insecure_channel(target, options)
        self._stub = orchestrator_pb2_grpc.OrchestratorServiceStub(self.channel)

    def ask_only(self, part: HostedPart) -> None:
        """Calls only this one from now on: calls to the other, unreachable one would hang."""
        self.channel.close()
        self._ask([part])

    def begin(self) -> str:
        album = self._stub.CreateAlbum(
            pb.CreateAlbumRequest(folder=str(self._photos)), timeout=LIMIT_S
        )
        request = pb.StartRunRequest(album_id=album.album.id)
        return str(self._stub.StartRun(request, timeout=LIMIT_S).run.id)

    def newest(self) -> str:
        """Waits for a run that another caller starts."""
        found: list[str] = []

        def look() -> bool:
            runs = self._stub.ListRuns(pb.ListRunsRequest(), timeout=LIMIT_S).runs
            found.extend(run.id for run in runs)
            return bool(found)

        wait_until(look)
        return found[0]

    def run(self, run_id: str) -> pb.Run:
        """Gets a run from either orchestrator; retries if the called one has just stopped."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                return self._stub.GetRun(pb.GetRunRequest(run_id=run_id), timeout=60).run
            except grpc.RpcError:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def until(self, run_id: str, count: int) -> None:
        """Waits until some photos are scored, according to the database."""
        self.wait_for(run_id, lambda run: _scored(run) >= count)

    def end(self, run_id: str) -> pb.Run:
        return self.wait_for(run_id, lambda run: run.HasField("end_time"))

    def ends_as(self, run_id: str, wanted: bytes) -> pb.Run:
        """Waits for the end of a run, which must complete with the expected results."""
        run = self.end(run_id)
        assert run.state == pb.RUN_STATE_COMPLETED, run.error
        assert self.results(run_id) == wanted
        return run

    def wait_for(self, run_id: str, is_enough: Callable[[pb.Run], bool]) -> pb.Run:
        deadline = time.monotonic() + LIMIT_S
        while not is_enough(run := self.run(run_id)):
            assert time.monotonic() < deadline, run
            time.sleep(0.1)
        return run

    def results(self, run_id: str) -> bytes:
        request = pb.DownloadRunRequest(run_id=run_id, format=pb.DOWNLOAD_FORMAT_CSV)
        return b"".join(piece.chunk for piece in self._stub.DownloadRun(request, timeout=LIMIT_S))

    def owner(self, run_id: str) -> HostedPart:
        """Returns the orchestrator that executes a run."""
        with psycopg.connect(self._database) as connection:
            query = "SELECT owner_id FROM runs WHERE id = %s"
            (owner_id,) = connection.execute(query, [run_id]).fetchone() or (None,)
        assert owner_id is not None
        (found,) = [part for part in self.parts if f"-{part.pid}-" in owner_id]
        return found

    def other(self, part: HostedPart) -> HostedPart:
        (found,) = [one for one in self.parts if one is not part]
        return found


def _scored(run: pb.Run) -> int:
    return sum(stage.completed_count for stage in run.stages if stage.stage == "score")


@contextlib.contextmanager
def both(cluster: Cluster, photos: Path, **changes: str) -> Iterator[Orchestrators]:
    """Starts both orchestrators on a new database, with some changed settings."""
    with cluster.postgresql.database() as url:
        made = Orchestrators(cluster, photos, url, changes)
        try:
            for part in made.parts:
                part.start()
            yield made
        finally:
            made.channel.close()
            for part in made.parts:
                part.stop(signal.SIGKILL)


def quality_replicas(
    cluster: Cluster, settings: Mapping[str, str], variables: Mapping[str, str] | None = None
) -> dict[str, HostedPart]:
    """Returns further replicas, by host, with other settings; not started yet."""
    return {
        host: HostedPart(
            cluster.hosts[host],
            "quality",
            50061,
            {"metrics_address": f"{cluster.hosts[host].address}:9061", **settings},
            variables=variables,
        )
        for host in MODEL_HOSTS
    }


@pytest.fixture
def orchestrators(cluster: Cluster, photos: Path) -> Iterator[Orchestrators]:
    with both(cluster, photos) as made:
        yield made


def test_a_run_spreads_over_both_replicas_of_every_service(
    cluster: Cluster, orchestrators: Orchestrators, on_one_machine: bytes
) -> None:
    def asked() -> dict[tuple[str, str], float]:
        return {key: cluster.calls(*key) for key in cluster.services}

    before = asked()
    orchestrators.ends_as(orchestrators.begin(), on_one_machine)
    gained = {key: count - before[key] for key, count in asked().items()}
    for name in ("embedding", "quality", "face"):
        shares = [gained[host, name] for host in MODEL_HOSTS]
        assert min(shares) > 0.3 * sum(shares), gained


def test_a_replica_whose_link_is_cut_only_costs_time(
    cluster: Cluster, orchestrators: Orchestrators, on_one_machine: bytes
) -> None:
    run_id = orchestrators.begin()
    orchestrators.until(run_id, 8)
    cluster.hosts["model-b"].cut()
    try:
        orchestrators.ends_as(run_id, on_one_machine)
    finally:
        cluster.hosts["model-b"].reconnect()


def test_the_run_of_a_killed_orchestrator_is_taken_over(
    orchestrators: Orchestrators, on_one_machine: bytes
) -> None:
    run_id = orchestrators.begin()
    orchestrators.until(run_id, 8)
    owner = orchestrators.owner(run_id)
    owner.stop(signal.SIGKILL)
    run = orchestrators.ends_as(run_id, on_one_machine)
    assert run.summary.cached_count >= 8


def test_an_orchestrator_that_loses_the_database_stores_nothing_further(
    cluster: Cluster, orchestrators: Orchestrators, on_one_machine: bytes
) -> None:
    run_id = orchestrators.begin()
    orchestrators.until(run_id, 8)
    owner = orchestrators.owner(run_id)
    orchestrators.ask_only(orchestrators.other(owner))
    owner.host.cut()
    try:
        run = orchestrators.ends_as(run_id, on_one_machine)
    finally:
        owner.host.reconnect()
    gave_up = re.compile(f"(lost|abandoning) run {run_id} ")
    wait_until(lambda: gave_up.search(owner.log_text) is not None, read_log=lambda: owner.log_text)
    assert orchestrators.run(run_id) == run
    assert orchestrators.results(run_id) == on_one_machine


def test_a_rolling_restart_of_every_part_loses_nothing(
    cluster: Cluster, photos: Path, on_one_machine: bytes
) -> None:
    """The quality services restart last, with new settings: until then they delay every run."""
    slow = quality_replicas(cluster, {**SLOWLY, "max_queue_delay_ms": "3000"})
    quick = quality_replicas(cluster, {})
    address = "ipv4:" + ",".join(replica.address for replica in slow.values())
    try:
        for part in slow.values():
            part.start()
        with both(
            cluster, photos, concurrent_batches="1", quality_address=address
        ) as orchestrators:
            run_id = orchestrators.begin()
            orchestrators.until(run_id, 1)
            owner = orchestrators.owner(run_id)
            others = [part for part in cluster.services.values() if part.name != "quality"]
            for part in (owner, *others, orchestrators.other(owner)):
                part.restart()
                assert not orchestrators.run(run_id).HasField("end_time")
            for host in MODEL_HOSTS:
                slow[host].stop()
                quick[host].start()
            orchestrators.ends_as(run_id, on_one_machine)
    finally:
        for part in (*slow.values(), *quick.values()):
            part.stop()


def test_a_run_is_cancelled_and_resumed_through_either_orchestrator(
    orchestrators: Orchestrators, on_one_machine: bytes
) -> None:
    run_id = orchestrators.begin()
    orchestrators.until(run_id, 4)
    owner = orchestrators.owner(run_id)
    with grpc.insecure_channel(orchestrators.other(owner).address) as channel:
        stub = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
        stub.CancelRun(pb.CancelRunRequest(run_id=run_id), timeout=LIMIT_S)
        snapshots = stub.WatchRun(pb.WatchRunRequest(run_id=run_id), timeout=LIMIT_S)
        assert [snapshot.run.state for snapshot in snapshots][-1] == pb.RUN_STATE_CANCELLED
        stub.ResumeRun(pb.ResumeRunRequest(run_id=run_id), timeout=LIMIT_S)
    orchestrators.ends_as(run_id, on_one_machine)


def test_a_new_replica_is_found_by_its_name(cluster: Cluster, photos: Path) -> None:
    variables = {"BESTSHOT_SERVICES__SHARED__MAX_CONNECTION_AGE_S": "2"}
    replicas = quality_replicas(cluster, SLOWLY, variables)
    address = {"quality_address": "dns:///quality.models:50061"}

    def know(*known: str) -> None:
        for name in ORCHESTRATOR_HOSTS:
            found = [cluster.hosts[host].address for host in known]
            cluster.hosts[name].know({"quality.models": found})

    def calls(host: str) -> float:
        return calls_at(f"{cluster.hosts[host].address}:9061")

    know("model-a")
    try:
        for part in replicas.values():
            part.start()
        with both(cluster, photos, concurrent_batches="1", **address) as orchestrators:
            run_id = orchestrators.begin()
            orchestrators.until(run_id, 4)
            assert calls("model-a") > 0
            assert calls("model-b") == 0
            know("model-a", "model-b")
            assert orchestrators.end(run_id).state == pb.RUN_STATE_COMPLETED
            assert calls("model-b") > 0
    finally:
        for part in replicas.values():
            part.stop()


def test_a_client_does_not_notice_that_its_orchestrator_was_killed(
    orchestrators: Orchestrators, photos: Path, on_one_machine: bytes
) -> None:
    target = "ipv4:" + ",".join(part.address for part in orchestrators.parts)
    with Client(Addresses(orchestrator=target)) as client, ThreadPoolExecutor(1) as caller:
        curated = caller.submit(client.curate, photos)
        found = orchestrators.newest()
        orchestrators.until(found, 4)
        owner = orchestrators.owner(found)
        owner.stop(signal.SIGKILL)
        other = orchestrators.other(owner)
        owner.start()
        other.restart()
        run = curated.result(timeout=LIMIT_S)
        assert run.id == found
        assert client.download(run.id, pb.DOWNLOAD_FORMAT_CSV) == on_one_machine
