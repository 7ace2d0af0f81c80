"""The user's decisions, and what can be learned from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from bestshot_client._async._calls import AsyncCalls


class AsyncDecisions(AsyncCalls):
    """Adds to, undoes and reads the decisions of albums; asks about pairs; keeps profiles."""

    async def decide(
        self, album_id: str, path: str, decision: pb.Decision, *, run_id: str = ""
    ) -> pb.SetDecisionResponse:
        """Keeps or rejects a photo, or clears its decision (DECISION_UNSPECIFIED).

        Args:
            album_id: The album.
            path: The photo.
            decision: The decision.
            run_id: Completed run that applies it at once; "" = none.
        """
        request = pb.SetDecisionRequest(
            album_id=album_id, path=path, decision=decision, run_id=run_id
        )
        answer: pb.SetDecisionResponse = await self._call(self._orchestrator.SetDecision, request)
        return answer

    async def add_decision(
        self,
        album_id: str,
        action: pb.DecisionAction,
        paths: Sequence[str],
        *,
        target_path: str = "",
        stars: int = 0,
        label: str = "",
        decided_by: str = "",
        run_id: str = "",
    ) -> pb.AppendDecisionResponse:
        """Adds a decision about photos or moments to an album's log.

        Args:
            album_id: The album.
            action: The kind of decision; to undo a decision, call `undo_decision`.
            paths: The photos.
            target_path: With DECISION_ACTION_MOVE, a photo in the moment to move the photos to.
            stars: With DECISION_ACTION_RATE, 1 to 5, or 0 to remove the stars.
            label: With DECISION_ACTION_LABEL, a colour, or "" to remove the label.
            decided_by: Who made the decision.
            run_id: Completed run that applies it at once; "" = none.
        """
        request = pb.AppendDecisionRequest(
            album_id=album_id,
            action=action,
            paths=paths,
            target_path=target_path,
            stars=stars,
            label=label,
            decided_by=decided_by,
            run_id=run_id,
        )
        answer: pb.AppendDecisionResponse = await self._call(
            self._orchestrator.AppendDecision, request
        )
        return answer

    async def undo_decision(
        self, album_id: str, entry_id: str = "", *, decided_by: str = "", run_id: str = ""
    ) -> pb.UndoDecisionResponse:
        """Undoes a decision ("" = the last one), at once in `run_id`; an undo can be undone too."""
        request = pb.UndoDecisionRequest(
            album_id=album_id, entry_id=entry_id, decided_by=decided_by, run_id=run_id
        )
        answer: pb.UndoDecisionResponse = await self._call(self._orchestrator.UndoDecision, request)
        return answer

    async def decisions(self, album_id: str) -> AsyncIterator[pb.DecisionEntry]:
        """Yields an album's log, oldest first."""
        request = pb.ListDecisionsRequest(album_id=album_id)
        pages = self._pages(self._orchestrator.ListDecisions, request, lambda page: page.entries)
        async for entry in pages:
            yield entry

    async def watch_decisions(
        self, album_id: str, *, known_entry_count: int | None = None, run_id: str = ""
    ) -> AsyncIterator[pb.WatchDecisionsResponse]:
        """Yields the length of an album's log at once, then every addition; never ends.

        Args:
            album_id: The album.
            known_entry_count: Number of entries already known; later ones come first.
            run_id: Run whose photos the messages include; "" = none.
        """
        request = pb.WatchDecisionsRequest(
            album_id=album_id, known_entry_count=known_entry_count, run_id=run_id
        )
        async for addition in self._stream(self._orchestrator.WatchDecisions, request, None):
            yield addition

    async def import_decisions(
        self, album_id: str, entries: Iterable[pb.DecisionEntry], *, run_id: str = ""
    ) -> pb.ImportDecisionsResponse:
        """Adds all entries of another log, or none if it fails; known ones are skipped."""
        request = pb.ImportDecisionsRequest(album_id=album_id, entries=entries, run_id=run_id)
        answer: pb.ImportDecisionsResponse = await self._call(
            self._orchestrator.ImportDecisions, request
        )
        return answer

    async def pairs(self, run_id: str) -> AsyncIterator[pb.ShotPair]:
        """Yields the unanswered pairs of shots, the least certain first.

        An answer is a decision: DECISION_ACTION_PREFER with the better photo first, or
        DECISION_ACTION_UNSURE.
        """
        request = pb.ListPairsRequest(run_id=run_id)
        pages = self._pages(self._orchestrator.ListPairs, request, lambda page: page.pairs)
        async for pair in pages:
            yield pair

    async def propose_weights(self, run_id: str) -> pb.ProposeWeightsResponse:
        """Proposes weights that predict more of the user's answers about pairs."""
        request = pb.ProposeWeightsRequest(run_id=run_id)
        answer: pb.ProposeWeightsResponse = await self._call(
            self._orchestrator.ProposeWeights, request
        )
        return answer

    async def keep_profile(
        self,
        name: str,
        settings: Mapping[str, Any],
        *,
        base_profile: str = "",
        description: str = "",
    ) -> None:
        """Stores settings as a profile, which `start_run` can name."""
        request = pb.KeepProfileRequest(
            name=name, base_profile=base_profile, description=description
        )
        request.config_overrides.update(settings)
        await self._call(self._orchestrator.KeepProfile, request)

    async def settings(self, profile: str = "") -> pb.DescribeSettingsResponse:
        """Describes the settings of a profile ("" = the orchestrator's), and lists the profiles."""
        request = pb.DescribeSettingsRequest(profile=profile)
        answer: pb.DescribeSettingsResponse = await self._call(
            self._orchestrator.DescribeSettings, request
        )
        return answer

    async def models(self) -> list[pb.ServedModel]:
        """Returns the model that each service uses, or why the service does not respond."""
        answer = await self._call(self._orchestrator.ListModels, pb.ListModelsRequest())
        return list(answer.models)
