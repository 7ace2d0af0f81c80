"""TensorFlow Lite files that are converted when they are pulled."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.pull import Location, fetch_model, is_in_place
from models.state import State, own_state
from services.common.errors import ConfigError
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.registry import (
    Download,
    ModelEntry,
    TfliteConversion,
    UrlSource,
    read_pins,
    read_registry,
    read_source,
)
from tests.conftest import ROOT
from tests.tflite_files import SmallMobileNet, TfliteWriter
from tests.unit.models.test_pull import Heard, files_below

pytestmark = pytest.mark.slow

NETWORK = SmallMobileNet()


class Published:
    """A TensorFlow Lite file on a stick, and an entry that requires its conversion."""

    def __init__(self, base: Path, content: bytes) -> None:
        self.models, self.stick = base / "models", base / "stick"
        self.stick.mkdir()
        (self.stick / "net.tflite").write_bytes(content)
        self.heard = Heard()
        self.download = Download(
            name="net.tflite",
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            sources=[UrlSource(url="https://models.invalid/net.tflite")],
            conversion=TfliteConversion(
                kind="tflite",
                name="net.onnx",
                size_bytes=None,
                sha256=None,
                share_count=10,
                input_range=(-1.0, 1.0),
            ),
        )

    def pull(self, models: Path | None = None) -> Path:
        location = Location(folder=self.stick)
        (path,) = fetch_model(models or self.models, "m", self.entry, location, self.heard)
        return path

    @property
    def entry(self) -> ModelEntry:
        return next(iter(read_registry(ROOT / "configs").models.values())).model_copy(
            update={"downloads": {"graph": self.download}, "files": {}}
        )

    def state(self) -> State:
        return own_state(self.models, "m", self.entry)


def test_a_half_precision_file_becomes_a_graph_with_the_same_outputs(tmp_path: Path) -> None:
    published = Published(tmp_path, NETWORK.file())
    path = published.pull()
    session = OrtSession(path, SessionOptions())
    (name,) = session.input_names
    for seed in range(3):
        pixels = np.random.default_rng(seed).uniform(-1, 1, (1, 3, NETWORK.side, NETWORK.side))
        pixels = pixels.astype(np.float32)
        (answer,) = session.run({name: pixels})
        np.testing.assert_allclose(answer, NETWORK.shares(pixels), atol=1e-5)
    assert sorted(files_below(published.models)) == ["net.onnx", "pins.yaml"]
    assert published.state() is State.READY
    assert is_in_place(published.models, "m", "graph", published.download)
    assert "converted by tflite2onnx 0.4.1, onnx " in published.heard.notes[-1]

    again = published.pull(tmp_path / "elsewhere")  # in another process, where hashes differ
    assert again.read_bytes() == path.read_bytes()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_pins(published.models) == {"m": {"graph": digest}}
    source = read_source(path, digest)
    assert source.startswith(f"{published.stick}/net.tflite; converted by tflite2onnx 0.4.1, onnx ")

    (published.models / "pins.yaml").unlink()  # as if the pull had been killed before it
    assert published.state() is State.NOT_PINNED
    published.pull()
    assert published.state() is State.READY


def test_without_the_converter_nothing_is_fetched_and_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tflite2onnx", None)
    published = Published(tmp_path, NETWORK.file())
    with pytest.raises(ConfigError, match=r"`pip install 'bestshot\[convert\]'`, then try again"):
        published.pull()
    assert files_below(published.models) == []
    assert published.state() is State.MISSING


def keep_votes(writer: TfliteWriter, votes: int) -> int:
    return votes


def use_an_unknown_operator(writer: TfliteWriter, votes: int) -> int:
    output = writer.tensor("swished", [1, 10])
    writer.add("HARD_SWISH", [votes], output)
    return output


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (keep_votes, "the output of net.onnx is not a set of shares that sum to 1"),
        (use_an_unknown_operator, "Unsupported TFLite OP: 117 HARD_SWISH"),
    ],
)
def test_a_file_that_cannot_be_used_is_not_installed(
    tmp_path: Path, last: Callable[[TfliteWriter, int], int], message: str
) -> None:
    published = Published(tmp_path, NETWORK.file(last))
    with pytest.raises(ConfigError, match=rf"net\.onnx was not installed: .*{message}"):
        published.pull()
    assert files_below(published.models) == ["net.tflite"]
    assert published.state() is State.MISSING
