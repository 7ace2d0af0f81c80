"""The typed call as tensors of the Open Inference Protocol."""

from __future__ import annotations

import numpy as np
from bestshot.face.v1 import face_pb2

from services.common.inference.open_inference import (
    Images,
    TensorApi,
    Tensors,
    TensorSpec,
    raise_first_error,
)
from services.face.servicer import FaceServicer

SCORES = (
    *("confidence", "yaw_degrees", "pitch_degrees", "roll_degrees"),
    *("pose_score", "eyes_score", "smile_score"),
)


def tensor_api(servicer: FaceServicer) -> TensorApi:
    """Describes the call: input `image`, and outputs with one row per face.

    Outputs: `face_count`, INT32 (n,), the number of rows for each picture; `box`, FP32 (faces, 4):
    left, top, width, height, relative to the picture; and one output per score, FP64 (faces,),
    named as in face.proto, NaN if unknown.
    """

    async def infer(images: Images) -> Tensors:
        answer = await servicer.Analyze(face_pb2.AnalyzeRequest(images=images["image"]), None)
        results = answer.results
        raise_first_error(results)
        faces = [face for one in results for face in one.faces.faces]
        boxes = [(f.box.left, f.box.top, f.box.width, f.box.height) for f in faces]
        return {
            "face_count": np.array([len(one.faces.faces) for one in results], np.int32),
            "box": np.array(boxes, np.float32).reshape(-1, 4),
            **{name: np.array([_value(face, name) for face in faces]) for name in SCORES},
        }

    return TensorApi(
        inputs=("image",),
        outputs=(
            TensorSpec("face_count", "INT32", (-1,)),
            TensorSpec("box", "FP32", (-1, 4)),
            *(TensorSpec(name, "FP64", (-1,)) for name in SCORES),
        ),
        infer=infer,
    )


def _value(face: face_pb2.Face, name: str) -> float:
    if name == "pitch_degrees" and not face.HasField("pitch_degrees"):
        return float("nan")
    return float(getattr(face, name))
