"""bestshot.orchestrator.v1: validates, delegates, translates."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc

from orchestrator.curator import Curator
from orchestrator.export import exporter
from orchestrator.ports import FeatureCache
from orchestrator.results import Album, utc_now
from orchestrator.storage.photo_source import check_allowed, check_folder
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.thumbnails import thumbnail
from orchestrator.transport import converters, page_token
from services.common.errors import FailedPreconditionError, InvalidArgumentError


class OrchestratorServicer(orchestrator_pb2_grpc.OrchestratorServiceServicer):
    """The API over curator, store and cache."""

    def __init__(
        self,
        curator: Curator,
        store: SqlRunStore,
        cache: FeatureCache,
        allowed_roots: Sequence[Path],
    ) -> None:
        self._curator = curator
        self._store = store
        self._cache = cache
        self._allowed_roots = allowed_roots

    # Albums

    async def CreateAlbum(
        self, request: pb.CreateAlbumRequest, context: grpc.aio.ServicerContext
    ) -> pb.CreateAlbumResponse:
        """Makes an album of a folder."""
        folder = check_allowed(Path(request.folder), self._allowed_roots, field="folder")
        await asyncio.to_thread(check_folder, folder)
        album = Album(
            id=uuid.uuid4().hex,
            display_name=request.display_name or folder.name,
            folder=str(folder),
            create_time=utc_now(),
        )
        stored = await asyncio.to_thread(self._store.add_album, album)
        return pb.CreateAlbumResponse(album=converters.album_message(stored))

    async def GetAlbum(
        self, request: pb.GetAlbumRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetAlbumResponse:
        """Returns one album."""
        album = await asyncio.to_thread(self._store.album, request.album_id)
        return pb.GetAlbumResponse(album=converters.album_message(album))

    async def ListAlbums(
        self, request: pb.ListAlbumsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAlbumsResponse:
        """Lists albums, oldest first."""
        size = page_token.page_size(request.page_size)
        offset = page_token.decode(request.page_token, "albums")
        found = await asyncio.to_thread(self._store.list_albums, size + 1, offset)
        return pb.ListAlbumsResponse(
            albums=[converters.album_message(album) for album in found[:size]],
            next_page_token=_next_token(len(found), size, offset, "albums"),
        )

    async def DeleteAlbum(
        self, request: pb.DeleteAlbumRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteAlbumResponse:
        """Forgets an album."""
        await asyncio.to_thread(self._store.album, request.album_id)
        if self._curator.is_active(request.album_id):
            raise FailedPreconditionError(
                f"a run of album {request.album_id} is under way; cancel it first"
            )
        await asyncio.to_thread(self._store.delete_album, request.album_id)
        return pb.DeleteAlbumResponse()

    # Runs

    async def StartRun(
        self, request: pb.StartRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.StartRunResponse:
        """Starts a run."""
        album = await asyncio.to_thread(self._store.album, request.album_id)
        overrides = converters.overrides_value(request.config_overrides)
        run = await self._curator.start_run(album, request.profile, overrides)
        return pb.StartRunResponse(run=converters.run_message(run, whole=True))

    async def WatchRun(
        self, request: pb.WatchRunRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchRunResponse]:
        """Streams snapshots of a run."""
        async for run in self._curator.watch(request.run_id):
            yield pb.WatchRunResponse(run=converters.run_message(run, whole=False))

    async def CancelRun(
        self, request: pb.CancelRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.CancelRunResponse:
        """Asks a run to stop."""
        run = await self._curator.cancel(request.run_id)
        return pb.CancelRunResponse(run=converters.run_message(run, whole=False))

    async def GetRun(
        self, request: pb.GetRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetRunResponse:
        """Returns one run."""
        run = await self._curator.run(request.run_id)
        return pb.GetRunResponse(run=converters.run_message(run, whole=True))

    async def ListRuns(
        self, request: pb.ListRunsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListRunsResponse:
        """Lists runs, newest first."""
        query = ("runs", request.album_id)
        size = page_token.page_size(request.page_size)
        offset = page_token.decode(request.page_token, *query)
        found = await asyncio.to_thread(self._store.list_runs, request.album_id, size + 1, offset)
        return pb.ListRunsResponse(
            runs=[converters.run_message(run, whole=False) for run in found[:size]],
            next_page_token=_next_token(len(found), size, offset, *query),
        )

    # Results

    async def ListImages(
        self, request: pb.ListImagesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListImagesResponse:
        """Lists the photos of a run."""
        cluster_id = request.cluster_id if request.HasField("cluster_id") else None
        query = ("images", request.run_id, request.selected_only, cluster_id)
        size = page_token.page_size(request.page_size)
        offset = page_token.decode(request.page_token, *query)
        await self._curator.run(request.run_id)
        selected_only = request.selected_only
        total = await asyncio.to_thread(
            self._store.count_images,
            request.run_id,
            selected_only=selected_only,
            cluster_id=cluster_id,
        )
        found = await asyncio.to_thread(
            self._store.images,
            request.run_id,
            selected_only=selected_only,
            cluster_id=cluster_id,
            limit=size,
            offset=offset,
        )
        return pb.ListImagesResponse(
            images=[converters.image_message(record) for record in found],
            next_page_token=_next_token(total - offset, size, offset, *query),
            total_count=total,
        )

    async def ListClusters(
        self, request: pb.ListClustersRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListClustersResponse:
        """Lists the clusters of a run."""
        query = ("clusters", request.run_id)
        size = page_token.page_size(request.page_size)
        offset = page_token.decode(request.page_token, *query)
        await self._curator.run(request.run_id)
        records = await asyncio.to_thread(self._store.images, request.run_id)
        clusters = converters.cluster_messages(records)
        return pb.ListClustersResponse(
            clusters=clusters[offset : offset + size],
            next_page_token=_next_token(len(clusters) - offset, size, offset, *query),
        )

    async def GetThumbnail(
        self, request: pb.GetThumbnailRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetThumbnailResponse:
        """Returns a small JPEG."""
        await self._curator.run(request.run_id)
        record = await asyncio.to_thread(self._store.image, request.run_id, request.path)
        jpeg = await asyncio.to_thread(thumbnail, self._cache, record)
        return pb.GetThumbnailResponse(jpeg=jpeg)

    # Actions on results

    async def Reselect(
        self, request: pb.ReselectRequest, context: grpc.aio.ServicerContext
    ) -> pb.ReselectResponse:
        """Clusters and selects anew from stored scores."""
        run = await self._curator.run(request.run_id)
        overrides = converters.overrides_value(request.config_overrides)
        reselection = await self._curator.reselect(
            run, overrides, validate_only=request.validate_only
        )
        return pb.ReselectResponse(
            run=converters.run_message(reselection.run, whole=True),
            gained_paths=reselection.gained_paths,
            lost_paths=reselection.lost_paths,
            missing_comparison_count=reselection.missing_comparison_count,
        )

    async def SetDecision(
        self, request: pb.SetDecisionRequest, context: grpc.aio.ServicerContext
    ) -> pb.SetDecisionResponse:
        """Keeps or rejects a photo, or undoes that."""
        if request.decision not in pb.Decision.values():
            raise InvalidArgumentError("decision", f"{request.decision} is no Decision")
        await asyncio.to_thread(self._store.album, request.album_id)
        digest = await asyncio.to_thread(self._store.content_digest, request.album_id, request.path)
        decision = converters.decision_value(request.decision)
        await asyncio.to_thread(
            self._store.set_decision, request.album_id, digest, decision, utc_now()
        )
        return pb.SetDecisionResponse()

    async def CompareImages(
        self, request: pb.CompareImagesRequest, context: grpc.aio.ServicerContext
    ) -> pb.CompareImagesResponse:
        """Compares two photos of a run."""
        run = await self._curator.run(request.run_id)
        probability = await self._curator.compare(run, request.first_path, request.second_path)
        return pb.CompareImagesResponse(first_better_probability=probability)

    async def ExportRun(
        self, request: pb.ExportRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.ExportRunResponse:
        """Writes a run's results into a folder."""
        folder = check_allowed(
            Path(request.output_folder), self._allowed_roots, field="output_folder"
        )
        run = await self._curator.run(request.run_id)
        album = await asyncio.to_thread(self._store.album, run.album_id)
        records = await asyncio.to_thread(self._store.images, run.id)
        written = await asyncio.to_thread(
            exporter.export_run,
            album,
            run,
            records,
            self._cache,
            folder,
            copy_selected=request.copy_selected,
        )
        return pb.ExportRunResponse(paths=written.paths, copied_count=written.copied_count)


def _next_token(found: int, size: int, offset: int, *query: object) -> str:
    return page_token.encode(offset + size, *query) if found > size else ""
