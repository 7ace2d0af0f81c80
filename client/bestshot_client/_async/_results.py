"""The results of runs: photos, clusters, explanations, files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from bestshot_client import _async_runtime as runtime
from bestshot_client._async._calls import TRANSFER_TIMEOUT_S, AsyncCalls
from bestshot_client._messages import FileDownload


class AsyncResults(AsyncCalls):
    """Reads the results of runs, and saves them as files."""

    async def photos(
        self,
        run_id: str,
        *,
        selected_only: bool = False,
        filters: Sequence[pb.ImageFilter] = (),
        score_ranges: Sequence[pb.ScoreRange] = (),
        cluster_id: int | None = None,
        search: str = "",
        camera: str = "",
        capture_date: str = "",
        person_id: str = "",
        order_by: str = "",
    ) -> AsyncIterator[pb.ImageResult]:
        """Yields the photos in a run that match all filters, each with all its results.

        Args:
            run_id: The run.
            selected_only: Only selected photos.
            filters: Required properties of photos.
            score_ranges: Bounds of scores.
            cluster_id: Only photos of this cluster; -1 = noise.
            search: Only photos whose path, reason, camera, capture time or a person's name
                contains this text.
            camera: Only photos of this camera.
            capture_date: Only photos taken on this day (2024-05-01), or in this month or year.
            person_id: Only photos with this person.
            order_by: Same as ListImagesRequest.order_by; empty = by path.
        """
        request = pb.ListImagesRequest(
            run_id=run_id,
            selected_only=selected_only,
            filters=filters,
            score_ranges=score_ranges,
            cluster_id=cluster_id,
            search=search,
            camera=camera,
            capture_date=capture_date,
            person_id=person_id,
            order_by=order_by,
        )
        pages = self._pages(self._orchestrator.ListImages, request, lambda page: page.images)
        async for image in pages:
            yield image

    async def get_photo(self, run_id: str, path: str) -> pb.ImageResult:
        """Returns one photo in a run."""
        request = pb.GetImageRequest(run_id=run_id, path=path)
        image: pb.ImageResult = (await self._call(self._orchestrator.GetImage, request)).image
        return image

    async def clusters(self, run_id: str) -> AsyncIterator[pb.Cluster]:
        """Yields the clusters of a run, ordered by id; noise is not a cluster."""
        request = pb.ListClustersRequest(run_id=run_id)
        pages = self._pages(self._orchestrator.ListClusters, request, lambda page: page.clusters)
        async for cluster in pages:
            yield cluster

    async def picture(
        self, run_id: str, path: str, *, long_side_px: int = 0, faces_only: bool = False
    ) -> bytes:
        """Returns a JPEG of a photo as it was scored, or of its faces in a row.

        Args:
            run_id: The run.
            path: The photo.
            long_side_px: Longest side; 0 = 320.
            faces_only: Only its faces.
        """
        request = pb.GetThumbnailRequest(
            run_id=run_id, path=path, long_side_px=long_side_px, faces_only=faces_only
        )
        jpeg: bytes = (await self._call(self._orchestrator.GetThumbnail, request)).jpeg
        return jpeg

    async def explain(self, run_id: str, path: str) -> pb.Explanation:
        """Explains why a photo was or was not picked, with the numbers that were used."""
        request = pb.ExplainImageRequest(run_id=run_id, path=path)
        answer = await self._call(self._orchestrator.ExplainImage, request)
        explanation: pb.Explanation = answer.explanation
        return explanation

    async def compare_photos(self, run_id: str, first_path: str, second_path: str) -> float:
        """Returns the probability that the first of two photos in a run is the better one."""
        request = pb.CompareImagesRequest(
            run_id=run_id, first_path=first_path, second_path=second_path
        )
        answer = await self._call(self._orchestrator.CompareImages, request)
        probability: float = answer.first_better_probability
        return probability

    async def download(self, run_id: str, file_format: pb.DownloadFormat) -> bytes:
        """Downloads a run's results: CSV, JSON, Parquet, XMP sidecars or the selected photos."""
        request = pb.DownloadRunRequest(run_id=run_id, format=file_format)
        content = bytearray()
        pieces = self._stream(self._orchestrator.DownloadRun, request, TRANSFER_TIMEOUT_S)
        async for piece in pieces:
            content += piece.chunk
        return bytes(content)

    async def download_to(
        self, run_id: str, file_format: pb.DownloadFormat, target: Path | str
    ) -> Path:
        """Downloads a run's results to a file, which appears (or is replaced) once complete.

        Args:
            run_id: The run.
            file_format: The kind of file.
            target: The file, or an existing folder for a file with the usual name.

        Returns:
            The file.
        """
        request = pb.DownloadRunRequest(run_id=run_id, format=file_format)
        file = FileDownload(target)
        try:
            pieces = self._stream(self._orchestrator.DownloadRun, request, TRANSFER_TIMEOUT_S)
            async for piece in pieces:
                await runtime.run_blocking(file.write, piece)
            return await runtime.run_blocking(file.finish)
        finally:
            file.discard()

    async def export(
        self,
        run_id: str,
        output_folder: Path | str,
        *,
        selected_transfer: pb.FileTransfer = pb.FILE_TRANSFER_UNSPECIFIED,
        by_person: bool = False,
        write_xmp: bool = False,
        write_xmp_beside_photos: bool = False,
        write_parquet: bool = False,
        overwrite_foreign_files: bool = False,
    ) -> pb.ExportRunResponse:
        """Writes a run's results to a folder on the orchestrator's host.

        Args:
            run_id: The run.
            output_folder: Absolute path below the orchestrator's allowed roots, outside albums.
            selected_transfer: How the selected photos get into `selected/`.
            by_person: Also put them into `people/NAME/`.
            write_xmp: Write XMP sidecars to `xmp/`.
            write_xmp_beside_photos: Write XMP sidecars beside the photos, merged into existing
                ones.
            write_parquet: Write image_metrics.parquet.
            overwrite_foreign_files: Replace files in the folder that bestshot did not write.
        """
        request = pb.ExportRunRequest(
            run_id=run_id,
            output_folder=str(output_folder),
            selected_transfer=selected_transfer,
            by_person=by_person,
            write_xmp=write_xmp,
            write_xmp_beside_photos=write_xmp_beside_photos,
            write_parquet=write_parquet,
            overwrite_foreign_files=overwrite_foreign_files,
        )
        answer: pb.ExportRunResponse = await self._call(self._orchestrator.ExportRun, request)
        return answer
