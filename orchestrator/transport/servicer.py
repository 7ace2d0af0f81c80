"""The gRPC service bestshot.orchestrator.v1: validates, delegates and translates."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import grpc
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc

from orchestrator.config import describe_settings
from orchestrator.domain.decisions import DecisionAction, DecisionEntry, decisions_in
from orchestrator.export import exporter
from orchestrator.ports import FeatureCache
from orchestrator.records import Album, ImageFilter, utc_now
from orchestrator.review.decision_entries import new_entry, undo_entry
from orchestrator.review.people_entries import (
    Correction,
    correct_people,
    undo_people_correction,
)
from orchestrator.run_service import Curator
from orchestrator.runs.recorded_settings import read_penalties
from orchestrator.storage.album_folders import check_apart
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.folder_listing import list_folders
from orchestrator.storage.image_query import ImageQuery
from orchestrator.storage.people_store import SqlPeople
from orchestrator.storage.photo_source import check_allowed, check_folder, has_photos
from orchestrator.storage.run_store import SqlRunStore
from orchestrator.storage.uploads import Upload, count_photos
from orchestrator.transport import converters
from orchestrator.transport.pages import PageRequest, Reader
from orchestrator.transport.repeats import Repeats, deduplicate, new_id
from services.common.errors import FailedPreconditionError, InvalidArgumentError

CHUNK_BYTES = 2**20
MAX_HEADER_BYTES = 2**16
MAX_WARNING_COUNT = 100
MAX_ALBUM_COUNT = 100_000
"""More albums than anyone has. An export checks all of them to avoid writing into one."""


class OrchestratorServicer(orchestrator_pb2_grpc.OrchestratorServiceServicer):
    """The API on top of curator, store and cache."""

    def __init__(
        self,
        curator: Curator,
        reader: Reader,
        store: SqlRunStore,
        log: SqlDecisionLog,
        people: SqlPeople,
        cache: FeatureCache,
        allowed_roots: Sequence[Path],
        linked_roots: Sequence[Path],
        data_folder: Path,
        max_upload_bytes: int,
        repeats: Repeats,
    ) -> None:
        self.repeats = repeats
        self._max_upload_bytes = max_upload_bytes
        self._curator = curator
        self._reader = reader
        self._store = store
        self._log = log
        self._people = people
        self._cache = cache
        self._allowed_roots = allowed_roots
        self._linked_roots = linked_roots
        self._data_folder = data_folder

    # Albums

    @deduplicate
    async def CreateAlbum(
        self, request: pb.CreateAlbumRequest, context: grpc.aio.ServicerContext
    ) -> pb.CreateAlbumResponse:
        """Creates an album from one or more folders."""
        if not request.folder and not request.folders:
            raise InvalidArgumentError("folder", "must not be empty unless folders is set")
        if request.folder and request.folders:
            raise InvalidArgumentError(
                "folders", "folder is also set; list all folders here instead"
            )
        looks = self._reader.threads.looks
        folders: list[Path] = []
        for named in request.folders or [request.folder]:
            folder = await looks.run(
                check_allowed, Path(named), self._allowed_roots, field="folder"
            )
            await looks.run(check_folder, folder)
            folders.append(folder)
        check_apart(folders)
        is_empty = not any([await looks.run(has_photos, folder) for folder in folders])
        album = Album(
            id=uuid.uuid4().hex,
            display_name=request.display_name or ", ".join(folder.name for folder in folders),
            folder=str(folders[0]),
            create_time=utc_now(),
            more_folders=tuple(map(str, folders[1:])),
        )
        stored = await asyncio.to_thread(self._store.add_album, album)
        return pb.CreateAlbumResponse(album=converters.album_message(stored), is_empty=is_empty)

    async def UploadAlbum(
        self,
        request_iterator: AsyncIterator[pb.UploadAlbumRequest],
        context: grpc.aio.ServicerContext,
    ) -> pb.UploadAlbumResponse:
        """Creates an album from uploaded photos."""
        first = await anext(aiter(request_iterator), pb.UploadAlbumRequest())
        if first.ByteSize() > MAX_HEADER_BYTES:  # the header stays in memory
            raise InvalidArgumentError("header", "the first message must contain only a header")
        request_id = first.header.request_id

        async def messages() -> AsyncIterator[pb.UploadAlbumRequest]:
            yield first
            async for message in request_iterator:
                yield message
                del message  # do not keep it in memory while waiting for the next one

        # without `shield`, because an upload is incomplete if its caller disconnects
        return await self.repeats.run_once(
            "UploadAlbum", first, request_id, lambda: self._receive(messages(), request_id)
        )

    async def _receive(
        self, messages: AsyncIterator[pb.UploadAlbumRequest], request_id: str
    ) -> pb.UploadAlbumResponse:
        album_id = new_id(request_id)
        known = await asyncio.to_thread(self._store.find_album, album_id)
        if known is not None:  # an earlier attempt at this request succeeded
            count = await asyncio.to_thread(count_photos, Path(known.folder))
            return pb.UploadAlbumResponse(album=converters.album_message(known), photo_count=count)
        display_name = ""
        with Upload(self._data_folder, uuid.uuid4().hex, self._max_upload_bytes) as upload:
            async for message in messages:
                match message.WhichOneof("part"):
                    case "header":
                        display_name = message.header.display_name
                    case "filename":
                        await asyncio.to_thread(upload.begin, message.filename)
                    case "chunk":
                        await asyncio.to_thread(upload.write, message.chunk)
                del message
            await asyncio.to_thread(upload.finish)
        now = utc_now()
        album = Album(
            id=album_id,
            display_name=display_name or f"Upload of {now.astimezone():%Y-%m-%d %H:%M}",
            folder=str(upload.folder),
            create_time=now,
        )
        stored = await asyncio.to_thread(self._store.add_album, album)
        await asyncio.to_thread(upload.keep)
        return pb.UploadAlbumResponse(
            album=converters.album_message(stored), photo_count=upload.photo_count
        )

    @deduplicate
    async def UpdateAlbum(
        self, request: pb.UpdateAlbumRequest, context: grpc.aio.ServicerContext
    ) -> pb.UpdateAlbumResponse:
        """Renames an album; nothing else can be changed."""
        for field in request.update_mask.paths:
            if field not in ("display_name", "*"):
                raise InvalidArgumentError(
                    "update_mask", f"{field!r} cannot be changed, only 'display_name'"
                )
        name = request.display_name.strip()
        if not name:
            raise InvalidArgumentError("display_name", "must not be empty")
        await asyncio.to_thread(self._store.album, request.album_id)
        await asyncio.to_thread(self._store.rename_album, request.album_id, name)
        album = await asyncio.to_thread(self._store.album, request.album_id)
        return pb.UpdateAlbumResponse(album=converters.album_message(album))

    async def ListFolders(
        self, request: pb.ListFoldersRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListFoldersResponse:
        """Lists folders in the allowed roots."""
        listing = await self._reader.threads.looks.run(
            list_folders, request.folder, self._allowed_roots
        )
        return pb.ListFoldersResponse(
            folder=str(listing.folder or ""),
            parent_folder=str(listing.parent or ""),
            photo_count=listing.photo_count,
            folders=[
                pb.FolderEntry(folder=str(one.path), photo_count=one.photo_count)
                for one in listing.folders
            ],
            left_out_count=listing.left_out_count,
        )

    async def GetAlbum(
        self, request: pb.GetAlbumRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetAlbumResponse:
        """Returns one album."""
        album = await self._reader.album(request.album_id)
        return pb.GetAlbumResponse(album=converters.album_message(album))

    async def ListAlbums(
        self, request: pb.ListAlbumsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAlbumsResponse:
        """Lists albums, oldest first."""
        page = await self._reader.albums(_page_request(request))
        return pb.ListAlbumsResponse(
            albums=map(converters.album_message, page.items), next_page_token=page.next_page_token
        )

    @deduplicate
    async def DeleteAlbum(
        self, request: pb.DeleteAlbumRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteAlbumResponse:
        """Deletes an album."""
        if await self._curator.is_active(request.album_id):
            raise FailedPreconditionError(
                f"a run of album {request.album_id} is in progress; cancel it first"
            )
        await asyncio.to_thread(self._store.delete_album, request.album_id)
        return pb.DeleteAlbumResponse()

    # Runs

    @deduplicate
    async def StartRun(
        self, request: pb.StartRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.StartRunResponse:
        """Starts a run."""
        album = await asyncio.to_thread(self._store.album, request.album_id)
        overrides = converters.overrides_value(request.config_overrides)
        run = await self._curator.start_run(
            album,
            request.profile,
            overrides,
            new_id(request.request_id),
            request.reference_run_id if request.HasField("reference_run_id") else None,
        )
        return pb.StartRunResponse(run=converters.run_message(run, whole=True))

    async def WatchRun(
        self, request: pb.WatchRunRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchRunResponse]:
        """Streams snapshots of a run."""
        async for run in self._curator.watch(request.run_id):
            yield pb.WatchRunResponse(run=converters.run_message(run, whole=False))

    @deduplicate
    async def CancelRun(
        self, request: pb.CancelRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.CancelRunResponse:
        """Asks a run to stop."""
        run = await self._curator.cancel(request.run_id)
        return pb.CancelRunResponse(run=converters.run_message(run, whole=True))

    @deduplicate
    async def ResumeRun(
        self, request: pb.ResumeRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.ResumeRunResponse:
        """Resumes an unfinished run."""
        run = await self._curator.resume(request.run_id)
        return pb.ResumeRunResponse(run=converters.run_message(run, whole=True))

    @deduplicate
    async def DeleteRun(
        self, request: pb.DeleteRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteRunResponse:
        """Deletes a run that has ended."""
        await asyncio.to_thread(self._store.delete_run, request.run_id)
        return pb.DeleteRunResponse()

    async def GetRun(
        self, request: pb.GetRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetRunResponse:
        """Returns one run."""
        run = await self._reader.run(request.run_id)
        return pb.GetRunResponse(run=converters.run_message(run, whole=True))

    async def ListRuns(
        self, request: pb.ListRunsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListRunsResponse:
        """Lists runs, newest first."""
        page = await self._reader.runs(request.album_id, _page_request(request))
        return pb.ListRunsResponse(
            runs=[converters.run_message(run, whole=False) for run in page.items],
            next_page_token=page.next_page_token,
        )

    async def DescribeSettings(
        self, request: pb.DescribeSettingsRequest, context: grpc.aio.ServicerContext
    ) -> pb.DescribeSettingsResponse:
        """Returns the settings of a profile."""
        found = await self._reader.settings(request.profile)
        answer = pb.DescribeSettingsResponse(
            profile=found.profile,
            settings=map(converters.setting_message, describe_settings()),
            profiles=[
                pb.Profile(name=name, description=one.description, models=one.models)
                for name, one in found.profiles.items()
            ],
            allowed_roots=[str(root.expanduser()) for root in self._allowed_roots],
        )
        answer.config.update(found.config)
        return answer

    async def ListModels(
        self, request: pb.ListModelsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListModelsResponse:
        """Asks every model service which model it serves."""
        served = await self._curator.ask_models()
        return pb.ListModelsResponse(
            models=[converters.role_model_message(*item) for item in served.items()]
        )

    # Results

    async def ListImages(
        self, request: pb.ListImagesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListImagesResponse:
        """Lists the photos in a run."""
        filters = [converters.filter_value(wanted) for wanted in request.filters]
        if request.selected_only:
            filters.append(ImageFilter.SELECTED)
        page = await self._reader.images(
            request.run_id,
            _page_request(request),
            ImageQuery(
                filters=tuple(filters),
                cluster_id=request.cluster_id if request.HasField("cluster_id") else None,
                search=request.search,
                order_by=request.order_by,
                camera=request.camera,
                capture_date=request.capture_date,
                score_ranges=tuple(map(converters.score_range, request.score_ranges)),
                person_id=request.person_id,
            ),
        )
        return pb.ListImagesResponse(
            images=[converters.image_message(*item) for item in page.items],
            next_page_token=page.next_page_token,
            total_count=page.total_count,
        )

    async def ListClusters(
        self, request: pb.ListClustersRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListClustersResponse:
        """Lists the clusters of a run."""
        page = await self._reader.clusters(request.run_id, _page_request(request))
        return pb.ListClustersResponse(
            clusters=map(converters.cluster_message, page.items),
            next_page_token=page.next_page_token,
        )

    async def GetImage(
        self, request: pb.GetImageRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetImageResponse:
        """Returns one photo in a run."""
        found = await self._reader.image(request.run_id, request.path)
        return pb.GetImageResponse(image=converters.image_message(*found))

    async def GetRunStatistics(
        self, request: pb.GetRunStatisticsRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetRunStatisticsResponse:
        """Counts a run's photos."""
        statistics = await self._reader.statistics(request.run_id)
        return converters.statistics_message(statistics)

    async def GetThumbnail(
        self, request: pb.GetThumbnailRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetThumbnailResponse:
        """Returns a JPEG of a photo."""
        jpeg = await self._reader.picture(
            request.run_id,
            request.path,
            request.long_side_px,
            is_of_faces=request.faces_only,
            face_box=converters.face_box_value(request),
            tile=converters.tile_value(request),
        )
        return pb.GetThumbnailResponse(jpeg=jpeg)

    # Actions on results

    @deduplicate
    async def Reselect(
        self, request: pb.ReselectRequest, context: grpc.aio.ServicerContext
    ) -> pb.ReselectResponse:
        """Clusters and selects again using stored scores."""
        run = await self._curator.run(request.run_id)
        overrides = converters.overrides_value(request.config_overrides)
        new_run_id = "" if request.validate_only else new_id(request.request_id)
        reselection = await self._curator.reselect(run, overrides, new_run_id)
        return pb.ReselectResponse(
            run=converters.run_message(reselection.run, whole=True),
            gained_paths=reselection.gained_paths,
            lost_paths=reselection.lost_paths,
            missing_comparison_count=reselection.missing_comparison_count,
        )

    async def DiffRuns(
        self, request: pb.DiffRunsRequest, context: grpc.aio.ServicerContext
    ) -> pb.DiffRunsResponse:
        """Returns the diff of two runs."""
        diff, changes, token = await self._reader.diff(
            request.run_id, request.other_run_id, _page_request(request)
        )
        answer = converters.diff_message(diff, changes)
        answer.next_page_token = token
        return answer

    async def ExplainImage(
        self, request: pb.ExplainImageRequest, context: grpc.aio.ServicerContext
    ) -> pb.ExplainImageResponse:
        """Explains why a photo was or was not picked."""
        explanation = await self._curator.explain(request.run_id, request.path)
        return pb.ExplainImageResponse(explanation=converters.explanation_message(explanation))

    async def EvaluateRun(
        self, request: pb.EvaluateRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.EvaluateRunResponse:
        """Compares the algorithm's picks with the user's decisions."""
        return converters.evaluation_message(await self._reader.evaluation(request.run_id))

    async def TuneRun(
        self, request: pb.TuneRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.TuneRunResponse:
        """Proposes settings that agree with more decisions."""
        return converters.proposal_message(await self._reader.proposal(request.run_id))

    async def ListPairs(
        self, request: pb.ListPairsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListPairsResponse:
        """Lists pairs to ask the user about."""
        found = await self._reader.pairs(request.run_id, _page_request(request))
        return pb.ListPairsResponse(
            pairs=[
                converters.pair_message(pair, found.decisions, found.penalties)
                for pair in found.page.items
            ],
            next_page_token=found.page.next_page_token,
            total_count=found.page.total_count,
            choice_count=found.choice_count,
            unsure_count=found.unsure_count,
        )

    async def ProposeWeights(
        self, request: pb.ProposeWeightsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ProposeWeightsResponse:
        """Proposes weights that predict more answers about pairs."""
        return converters.learned_message(await self._reader.learned_weights(request.run_id))

    @deduplicate
    async def KeepProfile(
        self, request: pb.KeepProfileRequest, context: grpc.aio.ServicerContext
    ) -> pb.KeepProfileResponse:
        """Stores settings as a profile."""
        overrides = converters.overrides_value(request.config_overrides)
        await self._curator.keep_profile(
            request.name, request.base_profile, request.description, overrides
        )
        return pb.KeepProfileResponse(name=request.name)

    @deduplicate
    async def SetDecision(
        self, request: pb.SetDecisionRequest, context: grpc.aio.ServicerContext
    ) -> pb.SetDecisionResponse:
        """Keeps or rejects a photo, or clears its decision."""
        if request.decision not in pb.Decision.values():
            raise InvalidArgumentError("decision", f"{request.decision} is not a Decision")
        decision = converters.decision_value(request.decision)
        action = DecisionAction(decision.value) if decision else DecisionAction.CLEAR
        paths = [request.path]
        entry = await self._new_entry(request, action, paths)
        log = await asyncio.to_thread(self._log.entries, request.album_id)
        # a repeated call finds its own entry in the log
        before = decisions_in(list(takewhile(lambda known: known.id != entry.id, log)))
        changed = await self._decide(request.album_id, [entry], request.run_id)
        previous = before.get(entry.photos[0].content_digest)
        return pb.SetDecisionResponse(
            previous_decision=converters.decision_message(previous),
            changed_images=changed,
            entry_id=entry.id,
        )

    @deduplicate
    async def AppendDecision(
        self, request: pb.AppendDecisionRequest, context: grpc.aio.ServicerContext
    ) -> pb.AppendDecisionResponse:
        """Adds a decision to an album's log."""
        action = converters.decision_action(request.action)
        if action is DecisionAction.UNDO:
            raise InvalidArgumentError("action", "to undo, call UndoDecision")
        entry = await self._new_entry(request, action, request.paths, request.target_path)
        entry = dataclasses.replace(entry, stars=request.stars, label=request.label)
        changed = await self._decide(request.album_id, [entry], request.run_id)
        return pb.AppendDecisionResponse(
            entry=converters.entry_message(entry, is_in_force=True), changed_images=changed
        )

    @deduplicate
    async def UndoDecision(
        self, request: pb.UndoDecisionRequest, context: grpc.aio.ServicerContext
    ) -> pb.UndoDecisionResponse:
        """Undoes a decision."""
        await asyncio.to_thread(self._store.album, request.album_id)
        log = await asyncio.to_thread(self._log.entries, request.album_id)
        entry = undo_entry(log, request.entry_id, new_id(request.request_id), request.decided_by)
        changed = await self._decide(request.album_id, [entry], request.run_id)
        undone = next(known for known in log if known.id == entry.undone_id)
        return pb.UndoDecisionResponse(
            entry=converters.entry_message(entry, is_in_force=True),
            undone_entry=converters.entry_message(undone, is_in_force=False),
            changed_images=changed,
        )

    async def ListDecisions(
        self, request: pb.ListDecisionsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListDecisionsResponse:
        """Lists an album's log."""
        page = await self._reader.decisions(request.album_id, _page_request(request))
        return pb.ListDecisionsResponse(
            entries=[
                converters.entry_message(entry, is_in_force=is_in_force)
                for entry, is_in_force in page.items
            ],
            next_page_token=page.next_page_token,
            total_count=page.total_count,
        )

    async def WatchDecisions(
        self, request: pb.WatchDecisionsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchDecisionsResponse]:
        """Streams additions to an album's log."""
        await self._reader.album(request.album_id)
        penalties = None
        if request.run_id:
            run = await self._reader.run(request.run_id)
            penalties = read_penalties(run)
            if run.album_id != request.album_id:
                raise InvalidArgumentError("run_id", f"run {run.id} belongs to another album")
        if request.known_entry_count < 0:
            raise InvalidArgumentError("known_entry_count", "must not be negative")
        known = request.known_entry_count if request.HasField("known_entry_count") else None
        async for addition in self._curator.watch_decisions(
            request.album_id, known, request.run_id
        ):
            yield converters.addition_message(addition, penalties)

    @deduplicate
    async def ImportDecisions(
        self, request: pb.ImportDecisionsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ImportDecisionsResponse:
        """Adds entries from another log."""
        entries = [converters.entry_value(message) for message in request.entries]
        added, changed = await self._add(request.album_id, entries, request.run_id)
        return pb.ImportDecisionsResponse(added_count=added, changed_images=changed)

    async def _new_entry(
        self,
        request: pb.SetDecisionRequest | pb.AppendDecisionRequest,
        action: DecisionAction,
        paths: Sequence[str],
        target_path: str = "",
    ) -> DecisionEntry:
        album_id, entry_id = request.album_id, new_id(request.request_id)
        await asyncio.to_thread(self._store.album, album_id)
        if request.request_id:  # the first attempt may have ended before its answer was stored
            known = await asyncio.to_thread(self._log.find, album_id, entry_id)
            if known is not None:
                return known
        decided_by = getattr(request, "decided_by", "")  # SetDecision is older and lacks it
        return await asyncio.to_thread(
            new_entry, self._store, album_id, entry_id, action, paths, target_path, decided_by
        )

    async def _decide(
        self, album_id: str, entries: Sequence[DecisionEntry], run_id: str
    ) -> list[pb.ImageResult]:
        """Adds entries and applies them to the named run, if any; returns the changed photos."""
        _, changed = await self._add(album_id, entries, run_id)
        return changed

    async def _add(
        self, album_id: str, entries: Sequence[DecisionEntry], run_id: str
    ) -> tuple[int, list[pb.ImageResult]]:
        """Like `_decide`, but also returns the number of entries that were new to the log."""
        run = await self._curator.run(run_id) if run_id else None
        added_count, changed = await self._curator.decide(album_id, entries, run)
        if run is None:
            return added_count, []
        by_path = {record.path: record for record in changed}
        # an earlier attempt may already have changed other photos
        earlier = await asyncio.to_thread(self._store.find_changed_images, run.id, set(by_path))
        by_path |= {record.path: record for record in earlier}
        decisions = await asyncio.to_thread(self._log.decisions, album_id)
        penalties = read_penalties(run)
        return added_count, [
            converters.image_message(
                by_path[path], decisions.get(by_path[path].content_digest), penalties
            )
            for path in sorted(by_path)
        ]

    # People

    async def ListPeople(
        self, request: pb.ListPeopleRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListPeopleResponse:
        """Lists the people of all albums."""
        page = await self._reader.people(_page_request(request))
        return pb.ListPeopleResponse(
            people=map(converters.person_message, page.items),
            next_page_token=page.next_page_token,
            total_count=page.total_count,
        )

    async def ListPersonFaces(
        self, request: pb.ListPersonFacesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListPersonFacesResponse:
        """Lists the faces of a person."""
        page = await self._reader.person_faces(request.person_id, _page_request(request))
        return pb.ListPersonFacesResponse(
            faces=map(converters.person_face_message, page.items),
            next_page_token=page.next_page_token,
            total_count=page.total_count,
        )

    async def ListPeopleQuestions(
        self, request: pb.ListPeopleQuestionsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListPeopleQuestionsResponse:
        """Asks about the uncertain faces that matter most."""
        asked = await self._reader.people_questions(request.page_size)
        return pb.ListPeopleQuestionsResponse(questions=map(converters.question_message, asked))

    @deduplicate
    async def CorrectPeople(
        self, request: pb.CorrectPeopleRequest, context: grpc.aio.ServicerContext
    ) -> pb.CorrectPeopleResponse:
        """Corrects persons."""
        said = Correction(
            action=converters.people_action(request.action),
            person_id=request.person_id,
            other_person_id=request.other_person_id,
            faces=tuple(map(converters.face_place_value, request.faces)),
            name=request.name,
            decided_by=request.decided_by,
        )
        entry = await asyncio.to_thread(
            correct_people, self._people, said, new_id(request.request_id)
        )
        return pb.CorrectPeopleResponse(entry_id=entry.id, person_id=entry.person_id)

    @deduplicate
    async def UndoPeopleCorrection(
        self, request: pb.UndoPeopleCorrectionRequest, context: grpc.aio.ServicerContext
    ) -> pb.UndoPeopleCorrectionResponse:
        """Undoes a correction of persons."""
        entry = await asyncio.to_thread(
            undo_people_correction,
            self._people,
            request.entry_id,
            new_id(request.request_id),
            request.decided_by,
        )
        return pb.UndoPeopleCorrectionResponse(entry_id=entry.id, undone_id=entry.undone_id)

    @deduplicate
    async def ErasePeople(
        self, request: pb.ErasePeopleRequest, context: grpc.aio.ServicerContext
    ) -> pb.ErasePeopleResponse:
        """Deletes all identity vectors; active runs can no longer store any."""
        count = await asyncio.to_thread(self._people.erase)
        return pb.ErasePeopleResponse(photo_count=count)

    async def CompareImages(
        self, request: pb.CompareImagesRequest, context: grpc.aio.ServicerContext
    ) -> pb.CompareImagesResponse:
        """Compares two photos in a run."""
        run = await self._curator.run(request.run_id)
        probability = await self._curator.compare(run, request.first_path, request.second_path)
        return pb.CompareImagesResponse(first_better_probability=probability)

    @deduplicate
    async def ExportRun(
        self, request: pb.ExportRunRequest, context: grpc.aio.ServicerContext
    ) -> pb.ExportRunResponse:
        """Writes a run's results to a folder."""
        threads = self._reader.threads
        folder = await threads.looks.run(
            check_allowed, Path(request.output_folder), self._allowed_roots, field="output_folder"
        )
        run = await self._curator.run(request.run_id)
        album = await asyncio.to_thread(self._store.album, run.album_id)
        albums = await asyncio.to_thread(self._store.list_albums, MAX_ALBUM_COUNT, 0)
        async with threads.hold_results(run):
            records = await asyncio.to_thread(self._store.images, run.id)
            written = await threads.exports.run(
                exporter.export_run,
                album,
                run,
                records,
                self._cache,
                folder,
                exporter.ExportOptions(
                    selected_transfer=converters.file_transfer(request),
                    write_xmp=request.write_xmp,
                    write_xmp_beside_photos=request.write_xmp_beside_photos,
                    write_parquet=request.write_parquet,
                    force=request.overwrite_foreign_files,
                    by_person=request.by_person,
                ),
                other_albums=[Path(one) for known in albums for one in known.folders],
                roots=self._linked_roots,
            )
        return pb.ExportRunResponse(
            paths=written.paths,
            copied_count=written.transferred_count,
            warnings=written.warnings[:MAX_WARNING_COUNT],
            warning_count=len(written.warnings),
            person_count=written.person_count,
        )

    async def DownloadRun(
        self, request: pb.DownloadRunRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.DownloadRunResponse]:
        """Streams a run's results as one file."""
        wanted = converters.download_format(request.format)
        with await self._reader.file(request.run_id, wanted) as opened:
            yield pb.DownloadRunResponse(filename=wanted.value)
            while chunk := await asyncio.to_thread(opened.read, CHUNK_BYTES):
                yield pb.DownloadRunResponse(chunk=chunk)


def _page_request(request: Any) -> PageRequest:  # noqa: ANN401
    """Returns the page that a List request selects; not all List requests support `skip`."""
    return PageRequest(request.page_size, request.page_token, getattr(request, "skip", 0))
