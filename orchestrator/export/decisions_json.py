"""decisions.json: an album's decision log, as a backup or for another installation."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from orchestrator.domain.decisions import (
    DecidedPhoto,
    DecisionAction,
    DecisionEntry,
    find_time_fault,
)
from services.common.config.problems import describe_problem
from services.common.errors import InvalidArgumentError, shorten

ContentDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Photo(_Strict):
    content_digest: ContentDigest
    path: Annotated[str, Field(max_length=4096)]


class _Entry(_Strict):
    id: Annotated[str, Field(min_length=1, max_length=64)]
    action: DecisionAction
    photos: list[_Photo]
    create_time: AwareDatetime
    target: _Photo | None
    undone_id: str
    decided_by: Annotated[str, Field(max_length=4096)] = ""
    stars: int = 0
    label: str = ""
    run_id: Annotated[str, Field(max_length=32)] = ""


class _File(_Strict):
    entries: list[_Entry]


def decisions_json(log: Sequence[DecisionEntry]) -> str:
    """Writes a log, with fields named as in orchestrator.proto."""
    entries = [
        {**dataclasses.asdict(entry), "create_time": entry.create_time.isoformat()} for entry in log
    ]
    return json.dumps({"entries": entries}, indent=2, ensure_ascii=False) + "\n"


def parse_decisions(text: str) -> list[DecisionEntry]:
    """Reads the output of `decisions_json`.

    Raises:
        InvalidArgumentError: The text is not a valid log; the message names the location.
    """
    try:
        entries = _File.model_validate_json(text).entries
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidArgumentError(
            "entries", f"{shorten(place)} {describe_problem(first)}"
        ) from error
    for number, entry in enumerate(entries, start=1):
        if problem := find_time_fault(entry.create_time):
            raise InvalidArgumentError("entries", f"entry {number} of {len(entries)}: {problem}")
    return [
        DecisionEntry(
            id=entry.id,
            action=entry.action,
            photos=tuple(DecidedPhoto(**photo.model_dump()) for photo in entry.photos),
            create_time=entry.create_time.astimezone(datetime.UTC),
            target=DecidedPhoto(**entry.target.model_dump()) if entry.target else None,
            undone_id=entry.undone_id,
            decided_by=entry.decided_by,
            stars=entry.stars,
            label=entry.label,
            run_id=entry.run_id,
        )
        for entry in entries
    ]
