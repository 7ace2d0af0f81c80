"""Converts a TensorFlow Lite file to ONNX with tflite2onnx, and checks the result.

This is for a published file that we had no access to, so we could not make a recipe. It needs
the `convert` extra and runs in a separate process, because the orchestrator, which pulls models,
never loads ONNX Runtime: `python -P -m models.convert.tflite TFLITE_FILE ONNX_FILE CONVERSION`,
where CONVERSION is the registry's entry as JSON.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import numpy as np
import onnx
import tflite2onnx
from numpy.typing import NDArray
from PIL import Image

from models.convert.pictures import MIN_DIFFERENCE, photo_paths
from services.common.errors import EXIT_CONFIG, ConfigError
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.registry import TfliteConversion

CONVERTERS = ("tflite2onnx", "onnx")
SUM_TOLERANCE = 1e-3


def convert(published: Path, target: Path) -> None:
    """Writes the ONNX file; the same packages write the same bytes on every machine.

    tflite2onnx converts half-precision weights to single precision and the layout to channels
    first. The versions of the packages are in the file's metadata.
    """
    tflite2onnx.convert(str(published), str(target))
    model = onnx.load(target)
    # tflite2onnx keeps both in sets, whose order differs between processes
    del model.graph.value_info[:]
    weights = sorted(model.graph.initializer, key=lambda tensor: tensor.name)
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    for package in CONVERTERS:
        model.metadata_props.add(key=package, value=importlib.metadata.version(package))
    target.write_bytes(model.SerializeToString(deterministic=True))


def check_shares(path: Path, conversion: TfliteConversion) -> None:
    """Runs the network on the two photos that ship with scikit-learn.

    We do not know any output of the published file, so this only proves that the graph runs and
    computes shares from its input, not that the shares are right.

    Raises:
        ConfigError: The graph does not load, or its output is not the expected number of shares.
    """
    session = OrtSession(path, SessionOptions())
    (name,) = session.input_names
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape
    _, _, height, width = (axis.dim_value for axis in shape.dim)
    answers = [
        session.run({name: _tensor(photo, (width, height), conversion.input_range)})[0]
        for photo in photo_paths()
    ]
    for answer in answers:
        if answer.shape != (1, conversion.share_count):
            raise ConfigError(
                f"{conversion.name} has an output of shape {list(answer.shape)}, expected "
                f"{[1, conversion.share_count]}"
            )
        if not (answer.min() >= 0 and abs(answer.sum() - 1) <= SUM_TOLERANCE):  # false for NaN
            raise ConfigError(
                f"the output of {conversion.name} is not a set of shares that sum to 1"
            )
    if np.abs(answers[0] - answers[1]).max() < MIN_DIFFERENCE:
        raise ConfigError(f"{conversion.name} gives the same output for two different photos")


def _tensor(
    photo: Path, size: tuple[int, int], input_range: tuple[float, float]
) -> NDArray[np.float32]:
    """Returns the photo, squashed to (width, height): float32 (1, 3, height, width)."""
    low, high = input_range
    with Image.open(photo) as opened:
        pixels = np.asarray(opened.convert("RGB").resize(size), np.float32)
    values = low + pixels * ((high - low) / 255)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[np.newaxis], np.float32)


def main() -> None:
    """Converts and checks the file named on the command line."""
    published, target = Path(sys.argv[1]), Path(sys.argv[2])
    conversion = TfliteConversion.model_validate_json(sys.argv[3])
    try:
        convert(published, target)
        check_shares(target, conversion)
    except ConfigError as error:
        print(error.message)
        raise SystemExit(EXIT_CONFIG) from None
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in CONVERTERS))


if __name__ == "__main__":
    main()
