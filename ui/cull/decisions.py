"""Decisions in the form that the Cull view sends: batches that can be repeated safely."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from pydantic import BaseModel, ConfigDict, Field

MAX_ENTRIES = 1000
_ACTIONS = {
    "keep": pb.DECISION_ACTION_KEEP,
    "reject": pb.DECISION_ACTION_REJECT,
    "clear": pb.DECISION_ACTION_CLEAR,
    "undo": pb.DECISION_ACTION_UNDO,
    "rate": pb.DECISION_ACTION_RATE,
    "label": pb.DECISION_ACTION_LABEL,
    "move": pb.DECISION_ACTION_MOVE,
    "split": pb.DECISION_ACTION_SPLIT,
    "merge": pb.DECISION_ACTION_MERGE,
    "prefer": pb.DECISION_ACTION_PREFER,
    "unsure": pb.DECISION_ACTION_UNSURE,
}


class Photo(BaseModel):
    """A photo in an entry; fields as in DecidedPhoto."""

    model_config = ConfigDict(extra="forbid")

    content_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    path: Annotated[str, Field(min_length=1)]


class Entry(BaseModel):
    """An entry in the album's log; fields as in DecisionEntry. The browser chooses its id."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    action: Literal[
        "keep",
        "reject",
        "clear",
        "undo",
        "rate",
        "label",
        "move",
        "split",
        "merge",
        "prefer",
        "unsure",
    ]
    photos: Annotated[list[Photo], Field(max_length=100_000)] = []
    stars: Annotated[int, Field(ge=0, le=5)] = 0
    label: Literal["", "red", "yellow", "green", "blue"] = ""
    target: Photo | None = None
    undone_id: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    run_id: Annotated[str, Field(max_length=32)] = ""
    create_time: datetime


class Batch(BaseModel):
    """Entries to add; if one is refused, none is added.

    If the response to a batch is lost, the batch is sent again unchanged: its `request_id` and the
    ids of its entries ensure that nothing is stored twice.
    """

    model_config = ConfigDict(extra="forbid")

    request_id: UUID
    entries: Annotated[list[Entry], Field(min_length=1, max_length=MAX_ENTRIES)]


def import_request(
    album_id: str, run_id: str, batch: Batch, user: str
) -> pb.ImportDecisionsRequest:
    """Builds the call that adds a user's batch to the album's log and applies it to the run."""
    return pb.ImportDecisionsRequest(
        album_id=album_id,
        run_id=run_id,
        entries=[_message(entry, user) for entry in batch.entries],
        request_id=str(batch.request_id),
    )


def _photo_message(photo: Photo) -> pb.DecidedPhoto:
    return pb.DecidedPhoto(content_digest=photo.content_digest, path=photo.path)


def _message(entry: Entry, user: str) -> pb.DecisionEntry:
    message = pb.DecisionEntry(
        id=entry.id,
        action=pb.DecisionAction.Name(_ACTIONS[entry.action]),
        photos=[_photo_message(photo) for photo in entry.photos],
        target=_photo_message(entry.target) if entry.target else None,
        undone_id=entry.undone_id,
        decided_by=user,
        stars=entry.stars,
        label=entry.label,
        run_id=entry.run_id,
    )
    time = entry.create_time
    message.create_time.FromDatetime(time if time.tzinfo is None else time.astimezone(UTC))
    return message
