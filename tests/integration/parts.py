"""The parts as separate processes on fixed ports, which a test can kill and restart."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from google.protobuf import struct_pb2

from orchestrator.cli.parts import MODEL_SERVICES
from orchestrator.cli.supervisor import Supervisor
from tests.integration.up import free_ports
from tests.waiting import LIMIT_S

Settings = Mapping[str, str]
NONE: Settings = {}


class Part:
    """One part on one address.

    Args:
        name: The part.
        folder: Folder for its log.
        arguments: Arguments in addition to its address.
        settings: Arguments of --set.
    """

    def __init__(
        self, name: str, folder: Path, arguments: tuple[str, ...] = (), settings: Settings = NONE
    ) -> None:
        (port,) = free_ports(1)
        self.name = name
        self.address = f"127.0.0.1:{port}"
        flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        self._arguments = ["--address", self.address, *arguments, *flags]
        self._folder = folder
        self._supervisor = Supervisor(folder, [])

    def start(self) -> None:
        """Starts it, or restarts it if it has ended, and waits until it serves."""
        self._supervisor.stop()
        self._supervisor = Supervisor(self._folder, [])
        self._supervisor.start(self.name, self._arguments)
        self._supervisor.wait_for_address(self.name)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._supervisor.process_id(self.name), number)

    @property
    def memory_mib(self) -> float:
        """Resident memory of its process."""
        return self._memory("VmRSS")

    @property
    def peak_memory_mib(self) -> float:
        """Maximum resident memory so far."""
        return self._memory("VmHWM")

    def _memory(self, field: str) -> float:
        status = Path(f"/proc/{self._supervisor.process_id(self.name)}/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) / 1024

    def kill(self) -> None:
        """Kills it and waits for it to exit."""
        self.signal(signal.SIGKILL)
        self._supervisor.stop()

    def stop(self) -> None:
        with contextlib.suppress(KeyError, ProcessLookupError):  # never started, or has ended
            self.signal(signal.SIGCONT)
        self._supervisor.stop()


@contextlib.contextmanager
def model_services(folder: Path) -> Iterator[dict[str, Part]]:
    """Runs the four model services."""
    parts = {name: Part(name, folder / name) for name in MODEL_SERVICES}
    try:
        for part in parts.values():
            part.start()
        yield parts
    finally:
        for part in parts.values():
            part.stop()


class Orchestrator(Part):
    """An orchestrator with a separate data folder, and the calls that tests make to it."""

    def __init__(
        self, folder: Path, addresses: Mapping[str, str], photos: Path, **settings: str
    ) -> None:
        super().__init__(
            "orchestrator",
            folder,
            ("--data", str(folder / "data")),
            {
                **{f"{name}_address": address for name, address in addresses.items()},
                "allowed_roots": str([str(photos)]),
                **settings,
            },
        )
        self._photos = photos
        self.channel: grpc.Channel | None = None

    @property
    def stub(self) -> orchestrator_pb2_grpc.OrchestratorServiceStub:
        self.channel = self.channel or grpc.insecure_channel(self.address)
        return orchestrator_pb2_grpc.OrchestratorServiceStub(self.channel)

    def begin(self, overrides: struct_pb2.Struct | None = None) -> str:
        """Starts a run on the photos; returns its id."""
        album = self.stub.CreateAlbum(pb.CreateAlbumRequest(folder=str(self._photos))).album
        request = pb.StartRunRequest(album_id=album.id, config_overrides=overrides)
        return str(self.stub.StartRun(request).run.id)

    def until(self, run_id: str, stage: str, count: int) -> None:
        """Waits until a stage of a run has processed some items."""
        for snapshot in self.stub.WatchRun(pb.WatchRunRequest(run_id=run_id), timeout=LIMIT_S):
            assert snapshot.run.state in (pb.RUN_STATE_PENDING, pb.RUN_STATE_RUNNING)
            for progress in snapshot.run.stages:
                if progress.stage == stage and progress.completed_count >= count:
                    return

    def end(self, run_id: str, timeout_s: float = LIMIT_S) -> pb.Run:
        """Waits for the end of a run."""
        run = pb.Run()
        for snapshot in self.stub.WatchRun(pb.WatchRunRequest(run_id=run_id), timeout=timeout_s):
            run = snapshot.run
        return run

    def resume(self, run_id: str) -> pb.Run:
        """Resumes a run and waits until it ends."""
        self.stub.ResumeRun(pb.ResumeRunRequest(run_id=run_id))
        return self.end(run_id)

    def results(self, run_id: str) -> bytes:
        """Returns a run's results as CSV."""
        request = pb.DownloadRunRequest(run_id=run_id, format=pb.DOWNLOAD_FORMAT_CSV)
        return b"".join(piece.chunk for piece in self.stub.DownloadRun(request))

    def stop(self) -> None:
        if self.channel is not None:
            self.channel.close()
        super().stop()


@contextlib.contextmanager
def orchestrator(
    folder: Path, addresses: Mapping[str, str], photos: Path, **settings: str
) -> Iterator[Orchestrator]:
    """Runs an orchestrator."""
    part = Orchestrator(folder, addresses, photos, **settings)
    try:
        part.start()
        yield part
    finally:
        part.stop()
