"""The Open Inference Protocol returns the same results as the typed call."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import skimage.data
from bestshot.image.v1 import image_pb2
from inference import open_inference_pb2 as pb
from inference import open_inference_pb2_grpc
from PIL import Image

from tests.contract.other_pythons import python_with
from tests.contract.servers import Running, running
from tests.contract.test_model_services import CALLS, INFOS, every_service


@pytest.fixture(scope="session")
def triton_python() -> Path:
    """A Python with the published tritonclient."""
    return python_with("tritonclient[grpc]==2.73.0")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two real pictures, one with a face."""
    paths = [tmp_path / f"{name}.jpg" for name in ("astronaut", "coffee")]
    for path in paths:
        Image.fromarray(getattr(skimage.data, path.stem)()).save(path, quality=90)
    return paths


def stub_of(service: Running) -> Any:
    return open_inference_pb2_grpc.GRPCInferenceServiceStub(service.channel)


async def typed_answer(name: str, service: Running, files: list[Path]) -> Any:
    images = [image_pb2.Image(encoded=path.read_bytes()) for path in files]
    return (await CALLS[name](service, images)).results


@every_service
async def test_tritonclient_gets_the_results_of_the_typed_call(
    name: str, triton_python: Path, files: list[Path]
) -> None:
    paths = [str(path) for path in files]
    inputs = [",".join(["image", *paths])]
    if name == "siamese":
        inputs = [",".join(["first", *paths]), ",".join(["second", paths[0], paths[0]])]
    script = Path(__file__).with_name("triton_calls.py")
    async with running(name) as service:
        typed = await typed_answer(name, service, files)
        model = (await INFOS[name](service)).model.id
        process = await asyncio.create_subprocess_exec(
            *(triton_python, script, service.server.address, model, *inputs),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    got = json.loads(out)
    assert (got["live"], got["ready"], got["model_ready"], got["other_ready"]) == (
        *(True, True, True),
        False,
    )
    assert got["server"] == service.service_name
    assert got["id"] == "seven"
    assert got["output_count_of_one"] == 1
    assert all(datatype == "BYTES" and shape == [-1] for _, datatype, shape in got["inputs"])
    assert_equal(name, got["outputs"], typed)


def assert_equal(name: str, outputs: dict[str, Any], typed: Any) -> None:
    if name == "embedding":
        assert outputs["embedding"] == [list(result.embedding.values) for result in typed]
    elif name == "quality":
        for score, values in outputs.items():
            assert values == [getattr(result.scores, score) for result in typed]
    elif name == "siamese":
        wanted = [result.comparison.first_better_probability for result in typed]
        assert outputs["first_better_probability"] == wanted
    else:
        faces = [face for result in typed for face in result.faces.faces]
        assert outputs["face_count"] == [len(result.faces.faces) for result in typed]
        assert outputs["box"][0][0] == faces[0].box.left
        assert outputs["smile_score"] == [face.smile_score for face in faces]
        pitches = [face.HasField("pitch_degrees") for face in faces]
        assert [not math.isnan(pitch) for pitch in outputs["pitch_degrees"]] == pitches


def bytes_input(name: str, files: list[bytes]) -> pb.ModelInferRequest.InferInputTensor:
    return pb.ModelInferRequest.InferInputTensor(
        name=name,
        datatype="BYTES",
        shape=[len(files)],
        contents=pb.InferTensorContents(bytes_contents=files),
    )


async def test_pixels_and_typed_contents_give_equal_results(files: list[Path]) -> None:
    pixels = np.asarray(Image.open(files[0]).convert("RGB"))
    assert max(pixels.shape) <= 1024
    height, width = pixels.shape[:2]
    async with running("quality") as service:
        stub = stub_of(service)
        encoded = await stub.ModelInfer(
            pb.ModelInferRequest(
                model_name="quality", inputs=[bytes_input("image", [files[0].read_bytes()])]
            )
        )
        raw = await stub.ModelInfer(
            pb.ModelInferRequest(
                model_name="quality",
                inputs=[
                    pb.ModelInferRequest.InferInputTensor(
                        name="image", datatype="UINT8", shape=[1, height, width, 3]
                    )
                ],
                raw_input_contents=[pixels.tobytes()],
            )
        )
    by_name = {output.name: list(output.contents.fp64_contents) for output in encoded.outputs}
    for output, content in zip(raw.outputs, raw.raw_output_contents, strict=True):
        assert np.frombuffer(content, np.float64).tolist() == by_name[output.name]


Spoil = Callable[[pb.ModelInferRequest], None]


def _other_input(request: pb.ModelInferRequest) -> None:
    request.inputs[0].name = "picture"


def _wrong_shape(request: pb.ModelInferRequest) -> None:
    request.inputs[0].shape[0] = 2


def _wrong_type(request: pb.ModelInferRequest) -> None:
    request.inputs[0].datatype = "FP32"


def _other_output(request: pb.ModelInferRequest) -> None:
    request.outputs.add(name="beauty")


def _cut_off(request: pb.ModelInferRequest) -> None:
    request.inputs[0].ClearField("contents")
    request.raw_input_contents.append(b"\xff\xff\x00\x00abc")


def _too_many_raw(request: pb.ModelInferRequest) -> None:
    request.raw_input_contents.extend([b"", b""])


def _no_picture(request: pb.ModelInferRequest) -> None:
    request.inputs[0].contents.bytes_contents[0] = b"Dear all"


def _no_input(request: pb.ModelInferRequest) -> None:
    request.ClearField("inputs")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_other_input, "no 'picture'"),
        (_wrong_shape, r"shape \[2\] and 1 elements"),
        (_wrong_type, "is FP32"),
        (_other_output, "no 'beauty'; known: iqa_score"),
        (_cut_off, "within an element of 65535 bytes"),
        (_too_many_raw, "2 entries for 1 inputs"),
        (_no_picture, "item 0 of 1: not an image"),
        (_no_input, "'image' is missing"),
    ],
)
async def test_the_error_for_a_wrong_request_names_the_problem(
    files: list[Path], spoil: Spoil, message: str
) -> None:
    request = pb.ModelInferRequest(
        model_name="quality", inputs=[bytes_input("image", [files[1].read_bytes()])]
    )
    spoil(request)
    async with running("quality") as service:
        with pytest.raises(grpc.aio.AioRpcError, match=message) as caught:
            await stub_of(service).ModelInfer(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_model_that_is_not_served_is_not_found() -> None:
    async with running("quality") as service:
        for request in (
            pb.ModelMetadataRequest(name="resnet"),
            pb.ModelMetadataRequest(name="quality", version="99"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub_of(service).ModelMetadata(request)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
