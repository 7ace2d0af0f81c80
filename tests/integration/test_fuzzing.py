"""Sends thousands of damaged picture files through every call that takes pictures.

None of them may crash or hang a process, cause an unexpected error, or leak memory.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pillow_heif
import pytest
import skimage.data
from bestshot.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from bestshot.face.v1 import face_pb2, face_pb2_grpc
from bestshot.image.v1 import image_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.quality.v1 import quality_pb2, quality_pb2_grpc
from bestshot.siamese.v1 import siamese_pb2, siamese_pb2_grpc
from google.protobuf import descriptor_pool, json_format, message_factory, struct_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.rpc import code_pb2
from inference import open_inference_pb2, open_inference_pb2_grpc
from PIL import Image

from orchestrator.__main__ import SERVICE_NAME
from orchestrator.cli.parts import MODEL_SERVICES
from tests.integration.parts import Part, orchestrator
from tests.waiting import LIMIT_S

INPUTS_OF_A_SERVICE = 1280
INPUTS_OF_THE_OPEN_PROTOCOL = 160
INPUTS_OF_THE_ORCHESTRATOR = 320
BATCH = 16
WARM_UP = 256
MEMORY_GROWTH_MIB = 96
"""Allowed growth of a process from the 256th damaged picture to the last; leaks would exceed it."""


def real_pictures() -> list[bytes]:
    """Returns a real picture in every supported format and variant."""
    pillow_heif.register_heif_opener()
    picture = Image.fromarray(skimage.data.astronaut()).resize((128, 128))
    found = []
    variants: list[tuple[str, dict[str, Any]]] = [
        ("JPEG", {"quality": 85}),
        ("JPEG", {"quality": 60, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {"quality": 80}),
        ("WEBP", {"lossless": True}),
        ("HEIF", {"quality": 70}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("GIF", {}),
        ("BMP", {}),
    ]
    for name, options in variants:
        buffer = io.BytesIO()
        picture.save(buffer, name, **options)
        found.append(buffer.getvalue())
    return found


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Applies one to three changes to bits, bytes, numbers, length, or the order of pieces."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at, size = rng.randrange(len(data)), rng.choice([1, 2, 4, 16, 256])
        near_the_start = rng.randrange(min(len(data), 160))
        kind = rng.randrange(7)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[near_the_start : near_the_start + 1] = rng.randbytes(1)
        elif kind == 2:
            data[near_the_start : near_the_start + 4] = rng.choice(
                [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\x40\0"]
            )
        elif kind == 3:
            data = data[: max(1, at)]
        elif kind == 4:
            del data[at : at + size]
        elif kind == 5:
            data[at:at] = data[at : at + size]
        else:
            data[at : at + size] = rng.randbytes(size)
        data = data or bytearray(b"\0")
    return bytes(data)


def call(name: str, channel: grpc.Channel, images: list[image_pb2.Image]) -> Any:
    """Makes one call and returns the results."""
    if name == "embedding":
        embed = embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed
        return embed(embedding_pb2.EmbedRequest(images=images), timeout=LIMIT_S).results
    if name == "quality":
        score = quality_pb2_grpc.QualityServiceStub(channel).Score
        return score(quality_pb2.ScoreRequest(images=images), timeout=LIMIT_S).results
    if name == "face":
        analyze = face_pb2_grpc.FaceServiceStub(channel).Analyze
        return analyze(face_pb2.AnalyzeRequest(images=images), timeout=LIMIT_S).results
    pairs = [siamese_pb2.Pair(first=index, second=0) for index in range(len(images))]
    compare = siamese_pb2_grpc.SiameseServiceStub(channel).Compare
    request = siamese_pb2.CompareRequest(images=images, pairs=pairs)
    return compare(request, timeout=LIMIT_S).results


@pytest.mark.parametrize("name", MODEL_SERVICES)
def test_no_damaged_picture_harms_a_service(name: str, services: dict[str, Part]) -> None:
    rng = random.Random(f"{name}-1")
    seeds = real_pictures()
    good = image_pb2.Image(encoded=seeds[0])
    part = services[name]
    outcomes = {"read": 0, "refused": 0}
    with grpc.insecure_channel(part.address) as channel:
        before = None
        for start in range(0, INPUTS_OF_A_SERVICE, BATCH):
            if start == WARM_UP:
                before = part.memory_mib
            broken = [damaged(rng.choice(seeds), rng) for _ in range(BATCH)]
            images = [good, *(image_pb2.Image(encoded=content) for content in broken)]
            results = call(name, channel, images)
            assert len(results) == len(images)
            assert not results[0].HasField("error")
            for content, result in zip(broken, results[1:], strict=True):
                if result.HasField("error"):
                    code, message = result.error.code, result.error.message
                    assert code == code_pb2.INVALID_ARGUMENT, (message, content.hex())
                outcomes["refused" if result.HasField("error") else "read"] += 1
    assert before is not None
    assert part.memory_mib - before < MEMORY_GROWTH_MIB
    assert min(outcomes.values()) > INPUTS_OF_A_SERVICE / 10  # both outcomes occur


@pytest.mark.parametrize("name", MODEL_SERVICES)
def test_no_damaged_picture_harms_the_open_protocol(name: str, services: dict[str, Part]) -> None:
    """In this protocol the whole request fails, so each request has one picture."""
    rng = random.Random(f"{name}-2")
    seeds = real_pictures()
    inputs = ("first", "second") if name == "siamese" else ("image",)
    read = 0
    with grpc.insecure_channel(services[name].address) as channel:
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(INPUTS_OF_THE_OPEN_PROTOCOL):
            content = damaged(rng.choice(seeds), rng)
            request = open_inference_pb2.ModelInferRequest(model_name=name)
            for one in inputs:
                tensor = request.inputs.add(name=one, datatype="BYTES", shape=[1])
                tensor.contents.bytes_contents.append(content)
            try:
                stub.ModelInfer(request, timeout=LIMIT_S)
                read += 1
            except grpc.RpcError as error:
                code, details = error.code(), error.details()
                assert code is grpc.StatusCode.INVALID_ARGUMENT, (details, content.hex())
    assert 0 < read < INPUTS_OF_THE_OPEN_PROTOCOL


def test_no_damaged_pixels_harm_a_service(services: dict[str, Part]) -> None:
    """The size of the pixels differs from the stated one."""
    rng = np.random.default_rng(1)
    for name, part in services.items():
        images = []
        for _ in range(24):
            width, height, extra = (int(one) for one in rng.integers([1, 1, -2], [40, 40, 3]))
            size = max(0, 3 * width * height + extra)
            pixels = image_pb2.Pixels(width_px=width, height_px=height, rgb=bytes(size))
            images.append(image_pb2.Image(pixels=pixels))
        images += [image_pb2.Image(), image_pb2.Image(encoded=b"")]
        pixels = image_pb2.Pixels(width_px=2**31 - 1, height_px=2**31 - 1, rgb=b"abc")
        images.append(image_pb2.Image(pixels=pixels))
        with grpc.insecure_channel(part.address) as channel:
            for image in images:
                (result,) = call(name, channel, [image])
                is_whole = len(image.pixels.rgb) == 3 * image.pixels.width_px * (
                    image.pixels.height_px
                )
                assert result.HasField("error") != (is_whole and image.HasField("pixels"))
                if result.HasField("error"):
                    assert result.error.code == code_pb2.INVALID_ARGUMENT, result.error.message


def test_no_damaged_picture_harms_the_orchestrator(
    services: dict[str, Part], tmp_path: Path
) -> None:
    rng = random.Random("orchestrator-1")
    seeds = real_pictures()
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(INPUTS_OF_THE_ORCHESTRATOR):
        (photos / f"{number:03}.jpg").write_bytes(damaged(rng.choice(seeds), rng))
    (photos / "whole.jpg").write_bytes(seeds[0])
    own = {name: part.address for name, part in services.items()}
    with orchestrator(tmp_path, own, photos) as part:
        run = part.end(part.begin())
        assert run.state == pb.RUN_STATE_COMPLETED, run.error
        assert run.summary.photo_count == INPUTS_OF_THE_ORCHESTRATOR + 1
        assert 0 < run.summary.unreadable_count < INPUTS_OF_THE_ORCHESTRATOR
        assert b"internal error" not in part.results(run.id)


HOSTILE: dict[int, list[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: [
        *("\0", "a\0b", "../../etc/passwd", "/dev/zero", "x" * 200_000, "\u202e\U0001f600%s{}"),
        *("-1", "~", "'; --", "[" * 3000, "V1t" * 900, " ", "\ufffe"),
    ],
    FieldDescriptor.CPPTYPE_DOUBLE: [math.nan, math.inf, -math.inf, 1e308, -1.0],
    FieldDescriptor.CPPTYPE_FLOAT: [math.nan, math.inf],
    FieldDescriptor.CPPTYPE_INT32: [-(2**31), 2**31 - 1, -1],
    FieldDescriptor.CPPTYPE_INT64: [-(2**63), 2**63 - 1, -1],
    FieldDescriptor.CPPTYPE_UINT32: [2**32 - 1],
    FieldDescriptor.CPPTYPE_UINT64: [2**64 - 1],
    FieldDescriptor.CPPTYPE_ENUM: [-1, 99, 2**31 - 1],
    FieldDescriptor.CPPTYPE_BOOL: [True],
}
LONG = 10_001


def deep_struct(depth: int) -> struct_pb2.Struct:
    inner: dict[str, Any] = {"a": math.nan if depth % 2 else "x" * 5000}
    for _ in range(depth):
        inner = {"cluster_scenes": inner}
    made = struct_pb2.Struct()
    made.update(inner)
    return made


OVERRIDES: list[dict[str, Any]] = [
    {"select_best": {"siamese": {"checkpoint_path": "\0"}}},
    {"select_best": {"siamese": [[[1e300]]]}},
    {f"key{number}": None for number in range(2000)},
    {"cluster_scenes": {"min_samples": 1e300}},
]
STRUCTS = [
    *map(deep_struct, (0, 1, 40)),
    *(json_format.ParseDict(one, struct_pb2.Struct()) for one in OVERRIDES),
]


def hostile_values(field: FieldDescriptor) -> Iterator[Any]:
    """Values of a field that no honest caller would send."""
    kind = field.message_type
    if kind is None and field.type == FieldDescriptor.TYPE_BYTES:
        values: list[Any] = [b"", b"\0" * 100]
    elif kind is None:
        values = HOSTILE[field.cpp_type]
    elif kind.full_name == "google.protobuf.Struct":
        values = STRUCTS
    else:
        made = message_factory.GetMessageClass(kind)
        values = [made()]
        for inner in kind.fields:
            for value in hostile_values(inner) if kind.name != "InferParameter" else ():
                values.append(put(made(), inner, value))
    for value in values:
        yield [value] if field.is_repeated else value
    if field.is_repeated and values:
        yield values[:1] * LONG


def put(message: Any, field: FieldDescriptor, value: Any) -> Any:
    """Sets a field of any type."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return message
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)
    return message


def attempts(request: Any) -> Iterator[Any]:
    """Yields the request with one hostile field at a time."""
    for field in request.DESCRIPTOR.fields:
        for value in hostile_values(field):
            changed = type(request)()
            changed.CopyFrom(request)
            changed.ClearField(field.name)
            yield put(changed, field, value)


def end_code(channel: grpc.Channel, method: MethodDescriptor, content: bytes) -> tuple[Any, str]:
    """Sends these bytes in a call; returns how the call ended."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    kind = f"{'stream' if method.client_streaming else 'unary'}_"
    kind += "stream" if method.server_streaming else "unary"
    call = getattr(channel, kind)(path)
    try:
        answer = call(iter([content]) if method.client_streaming else content, timeout=LIMIT_S)
        if method.server_streaming:
            for _ in answer:
                if method.name == "WatchDecisions":  # never ends by itself
                    answer.cancel()
                    break
    except grpc.RpcError as error:
        return error.code(), str(error.details())
    return grpc.StatusCode.OK, ""


def test_no_field_of_any_call_causes_an_internal_error(
    services: dict[str, Part], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "whole.jpg").write_bytes(real_pictures()[0])
    own = {name: part.address for name, part in services.items()}
    bad = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED)
    with orchestrator(tmp_path, own, photos) as part:
        run = part.end(part.begin())
        known = {"run_id": run.id, "other_run_id": run.id, "album_id": run.album_id}
        known |= {"path": "whole.jpg", "first_path": "whole.jpg", "second_path": "whole.jpg"}
        targets = {f"bestshot.{n}.v1.{n.capitalize()}Service": own[n] for n in own}
        targets[SERVICE_NAME] = part.address
        targets["inference.GRPCInferenceService"] = own["siamese"]
        calls = 0
        for service, address in targets.items():
            found = descriptor_pool.Default().FindServiceByName(service)
            with grpc.insecure_channel(address) as channel:
                for method in found.methods:
                    request = message_factory.GetMessageClass(method.input_type)()
                    for name in request.DESCRIPTOR.fields_by_name.keys() & known.keys():
                        setattr(request, name, known[name])
                    if method.name in ("DeleteAlbum", "DeleteRun"):  # other calls need them
                        setattr(request, request.DESCRIPTOR.fields[0].name, "none")
                    contents = [one.SerializeToString() for one in attempts(request)]
                    for content in (b"\xff", b"\x0a\x02\xff\xfe", *contents):
                        code, details = end_code(channel, method, content)
                        assert code not in bad, (method.name, details, content[:200])
                        calls += 1
        assert calls > 500
        assert part.results(run.id)
