from __future__ import annotations

import math
import tracemalloc

import pytest
from bestshot.image.v1 import image_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.quality.v1 import quality_pb2
from google.protobuf.message import Message

from orchestrator.transport import page_token
from services.common.errors import InvalidArgumentError, NotFoundError, shorten
from services.common.rpc.bounds import check_message
from services.common.rpc.status import to_status


def overrides(value: object) -> pb.StartRunRequest:
    request = pb.StartRunRequest(album_id="a")
    request.config_overrides.update({"filter_quality": {"min_iqa_score": value}})
    return request


def imported(path: str) -> pb.ImportDecisionsRequest:
    entry = pb.DecisionEntry(id="1", photos=[pb.DecidedPhoto(path=path)])
    return pb.ImportDecisionsRequest(entries=[entry])


def dated(seconds: int) -> pb.ImportDecisionsRequest:
    request = pb.ImportDecisionsRequest(entries=[pb.DecisionEntry(id="1")])
    request.entries[0].create_time.seconds = seconds
    return request


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.GetImageRequest(path="a\0b"), "path"),
        (pb.CreateAlbumRequest(folder="/" + "a" * 5000), "folder"),
        (pb.ListImagesRequest(search="x" * 200_000), "search"),
        (pb.ListImagesRequest(filters=[1] * 10_000), "filters"),
        (overrides(math.nan), "config_overrides"),
        (overrides([math.inf]), "config_overrides"),
        (overrides("a\0"), "config_overrides"),
        (overrides(["x" * 4000] * 20), "config_overrides"),
        (imported("x" * 5_000_000), "entries[0].photos[0].path"),
        (dated(-62135596800), "entries[0].create_time"),
        (dated(2**62), "entries[0].create_time"),
    ],
)
def test_a_field_out_of_bounds_is_named(request_: Message, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_message(request_)
    assert caught.value.field.startswith(field)


def test_pictures_are_not_copied() -> None:
    pixels = image_pb2.Pixels(width_px=1000, height_px=1000, rgb=bytes(3_000_000))
    request = quality_pb2.ScoreRequest(images=[image_pb2.Image(pixels=pixels)])
    check_message(request)  # caches descriptors
    tracemalloc.start()
    check_message(request)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_large_valid_requests_pass() -> None:
    digest = "a" * 64
    photos = [pb.DecidedPhoto(content_digest=digest, path="trip/1.jpg")] * 5000
    entry = pb.DecisionEntry(id="1", photos=photos)
    entry.create_time.GetCurrentTime()
    check_message(pb.ImportDecisionsRequest(album_id="a", entries=[entry] * 3))
    check_message(pb.AppendDecisionRequest(album_id="a", paths=["trip/1.jpg"] * 20_000))
    check_message(overrides(0.5))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.GetRunRequest(), "run_id"),
        (pb.GetImageRequest(run_id="a"), "path"),
        (pb.AppendDecisionRequest(album_id="a"), "paths"),
    ],
)
def test_a_required_field_that_is_empty_is_named(request_: Message, field: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{field}: is required"):
        check_message(request_)


@pytest.mark.parametrize("text", ["x" * 100_000, "\u00e9" * 50_000, "\U0001f600" * 5000])
def test_errors_always_fit_into_the_trailers(text: str) -> None:
    for error in (
        InvalidArgumentError(text, f"{text!r} is wrong; known: a, b"),
        NotFoundError("photo", text),
    ):
        status = to_status(error)
        escaped = 3 * len(status.message.encode())
        assert escaped + 4 * len(status.SerializeToString()) // 3 < 8000
    assert "known: a, b" in to_status(InvalidArgumentError("f", f"{text} known: a, b")).message
    assert shorten("short") == "short"


def test_a_forged_page_token_is_an_invalid_argument() -> None:
    forged = page_token.encode(10**30, "images")
    deep = page_token.base64.urlsafe_b64encode(b"[" * 3000).decode()
    for token in (forged, deep):
        with pytest.raises(InvalidArgumentError):
            page_token.decode(token, "images")
