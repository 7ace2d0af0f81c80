"""Runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from bestshot_client import _async_runtime as runtime
from bestshot_client import _messages
from bestshot_client._async._albums import AsyncAlbums
from bestshot_client._errors import Watching

OnProgress = Callable[[pb.Run], None]


class AsyncRuns(AsyncAlbums):
    """Starts, watches, lists, changes and deletes runs."""

    async def curate(
        self,
        folder: Path | str | Sequence[Path | str],
        *,
        profile: str = "",
        settings: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> pb.Run:
        """Curates folders on the orchestrator's host; `photos` then returns the results.

        Args:
            folder: Same as for `create_album`.
            profile: One of the orchestrator's profiles; empty = its default.
            settings: Settings to override, nested like configs/pipeline.yaml.
            on_progress: Called with the run after every change.

        Returns:
            The completed run.

        Raises:
            BestshotError: The run failed or was cancelled.
        """
        album = await self.create_album(folder)
        return await self.run(album.id, profile=profile, settings=settings, on_progress=on_progress)

    async def run(
        self,
        album_id: str,
        *,
        profile: str = "",
        settings: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> pb.Run:
        """Curates an album; arguments, result and errors as for `curate`."""
        run = await self.start_run(album_id, profile=profile, settings=settings)
        return await self.wait_for_run(run.id, on_progress=on_progress)

    async def start_run(
        self,
        album_id: str,
        *,
        profile: str = "",
        settings: Mapping[str, Any] | None = None,
        reference_run_id: str | None = None,
    ) -> pb.Run:
        """Starts a run and returns at once.

        Args:
            album_id: The album.
            profile: One of the orchestrator's profiles; empty = its default.
            settings: Settings to override, nested like configs/pipeline.yaml.
            reference_run_id: Run whose picks to keep; None = the newest suitable one, "" = none.
        """
        request = _messages.run_request(album_id, profile, settings, reference_run_id)
        run: pb.Run = (await self._call(self._orchestrator.StartRun, request)).run
        return run

    async def watch_run(self, run_id: str) -> AsyncIterator[pb.Run]:
        """Yields the current state of a run, then every change until it has ended.

        Resumes when the orchestrator is replaced.
        """
        watching = Watching()
        run = pb.Run(revision=-1)
        while run.revision < 0 or not _messages.has_ended(run):
            pause = 0.0
            request = pb.WatchRunRequest(run_id=run_id)
            call = self._orchestrator.WatchRun(request, metadata=self._metadata)
            try:
                async for snapshot in call:
                    watching.note_answer()
                    if snapshot.run.revision != run.revision:
                        run = snapshot.run
                        yield run
            except grpc.RpcError as error:
                pause = watching.pause_after(error)
            finally:
                runtime.cancel(call)
            await runtime.sleep(pause)

    async def wait_for_run(self, run_id: str, *, on_progress: OnProgress | None = None) -> pb.Run:
        """Waits for a run to complete; raises BestshotError if it fails or is cancelled."""
        last = pb.Run()
        async for run in self.watch_run(run_id):
            last = run
            if on_progress is not None:
                on_progress(run)
        return _messages.check_completed(last)

    async def runs(self, album_id: str = "") -> AsyncIterator[pb.Run]:
        """Yields the runs of an album ("" = of all albums), newest first, without their config."""
        request = pb.ListRunsRequest(album_id=album_id)
        pages = self._pages(self._orchestrator.ListRuns, request, lambda page: page.runs)
        async for run in pages:
            yield run

    async def get_run(self, run_id: str) -> pb.Run:
        """Returns a run with its whole config, models and timings."""
        request = pb.GetRunRequest(run_id=run_id)
        run: pb.Run = (await self._call(self._orchestrator.GetRun, request)).run
        return run

    async def cancel_run(self, run_id: str) -> pb.Run:
        """Asks a run to stop."""
        request = pb.CancelRunRequest(run_id=run_id)
        run: pb.Run = (await self._call(self._orchestrator.CancelRun, request)).run
        return run

    async def resume_run(self, run_id: str) -> pb.Run:
        """Continues a run that failed, was cancelled or was interrupted."""
        request = pb.ResumeRunRequest(run_id=run_id)
        run: pb.Run = (await self._call(self._orchestrator.ResumeRun, request)).run
        return run

    async def delete_run(self, run_id: str) -> None:
        """Deletes a run and its results; decisions and photos stay."""
        await self._call(self._orchestrator.DeleteRun, pb.DeleteRunRequest(run_id=run_id))

    async def reselect(self, run_id: str, settings: Mapping[str, Any]) -> pb.ReselectResponse:
        """Groups and selects again from a run's stored scores, as a new run."""
        request = _messages.reselection(run_id, settings, validate_only=False)
        answer: pb.ReselectResponse = await self._call(self._orchestrator.Reselect, request)
        return answer

    async def what_if(self, run_id: str, settings: Mapping[str, Any]) -> pb.ReselectResponse:
        """Returns what `reselect` would change, and stores nothing."""
        request = _messages.reselection(run_id, settings, validate_only=True)
        answer: pb.ReselectResponse = await self._call(self._orchestrator.Reselect, request)
        return answer

    async def diff_runs(self, run_id: str, other_run_id: str) -> pb.DiffRunsResponse:
        """Returns how a second run differs from the first, with the changes of all photos."""
        request = pb.DiffRunsRequest(run_id=run_id, other_run_id=other_run_id)
        whole: pb.DiffRunsResponse = await self._call(self._orchestrator.DiffRuns, request)
        while whole.next_page_token:
            request.page_token = whole.next_page_token
            page = await self._call(self._orchestrator.DiffRuns, request)
            whole.photo_changes.extend(page.photo_changes)
            whole.next_page_token = page.next_page_token
        return whole

    async def statistics(self, run_id: str) -> pb.GetRunStatisticsResponse:
        """Counts a run's photos by filter, by score and by cluster size."""
        request = pb.GetRunStatisticsRequest(run_id=run_id)
        answer: pb.GetRunStatisticsResponse = await self._call(
            self._orchestrator.GetRunStatistics, request
        )
        return answer

    async def evaluate(self, run_id: str) -> pb.EvaluateRunResponse:
        """Compares the algorithm's picks with the user's decisions."""
        request = pb.EvaluateRunRequest(run_id=run_id)
        answer: pb.EvaluateRunResponse = await self._call(self._orchestrator.EvaluateRun, request)
        return answer

    async def tune(self, run_id: str) -> pb.TuneRunResponse:
        """Proposes settings that agree with more decisions; can take minutes."""
        request = pb.TuneRunRequest(run_id=run_id)
        answer: pb.TuneRunResponse = await self._call(self._orchestrator.TuneRun, request)
        return answer
