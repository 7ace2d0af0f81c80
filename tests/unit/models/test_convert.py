"""Recipes that turn published files into ONNX files."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models import pull as pulling
from models.convert import recipe as recipes
from models.convert.checkpoint import VARIANTS
from models.convert.recipe import RECIPES, Input, Recipe, Weight, onnx_chunks
from models.convert.reference import check_against_reference, reference_input
from models.pull import Location, fetch, is_in_place
from models.state import State, own_state
from services.common.errors import ConfigError, UnavailableError
from services.common.inference.registry import (
    Download,
    RecipeConversion,
    UrlSource,
    read_registry,
)
from tests.conftest import ROOT
from tests.unit.models.test_pull import Heard, files_below, open_full_disk

pytestmark = pytest.mark.slow

NOWHERE = UrlSource.model_construct(url="http://127.0.0.1:9/weights.bin")
CONV = np.random.default_rng(1).normal(size=(8, 3, 3, 3)).astype(np.float32)
BIAS = np.random.default_rng(2).normal(size=64).astype(np.float16)


class Network:
    """A convolution and a sum, and the published file with their weights."""

    def __init__(self, base: Path) -> None:
        weights = [
            numpy_helper.from_array(CONV, "conv"),
            numpy_helper.from_array(BIAS.astype(np.float32).reshape(1, 1, 8, 8), "bias"),
        ]
        shape = ["batch", 3, 8, 8]
        graph = helper.make_graph(
            [
                helper.make_node("Conv", ["x", "conv"], ["y"], pads=[1, 1, 1, 1]),
                helper.make_node("Add", ["y", "bias"], ["z"]),
            ],
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 8, 8, 8])],
            weights,
        )
        opset = [helper.make_opsetid("", 13)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        self.whole = model.SerializeToString()
        # as in TensorFlow Lite: channels last, the bias in half precision
        stored = np.ascontiguousarray(CONV.transpose(0, 2, 3, 1)).tobytes()
        self.published = b"header" + BIAS.tobytes() + b"between" + stored + b"end"
        self.folder = base / "recipes" / "network"
        self.folder.mkdir(parents=True)
        self.write_recipe()
        self.source = base / "stick"
        self.source.mkdir()
        (self.source / "weights.bin").write_bytes(self.published)

    def write_recipe(self) -> None:
        parts = [CONV.tobytes(), BIAS.astype(np.float32).tobytes()]
        first, second = (self.whole.index(part) for part in parts)
        rest = self.whole.replace(parts[0], b"").replace(parts[1], b"")
        recipe = Recipe(
            input=Input(name="x", shape=[2, 3, 8, 8], largest=1.0),
            tolerance=1e-5,
            weights=[
                Weight(gap=first, offset=141, shape=[8, 3, 3, 3], transpose=[0, 3, 1, 2]),
                Weight(gap=second - CONV.nbytes, offset=6, shape=[8, 8], dtype="float16"),
            ],
        )
        (self.folder / "rest.bin").write_bytes(rest)
        (self.folder / "recipe.json").write_text(recipe.model_dump_json())
        padded = np.pad(reference_input(recipe.input), ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
        sums = np.einsum("ncyxhw,ochw->noyx", windows, CONV) + BIAS.astype(np.float32).reshape(8, 8)
        np.save(self.folder / "reference.npy", sums.astype(np.float32).ravel())

    @property
    def download(self) -> Download:
        return Download(
            name="weights.bin",
            size_bytes=len(self.published),
            sha256=hashlib.sha256(self.published).hexdigest(),
            sources=[NOWHERE],
            conversion=RecipeConversion(
                kind="recipe",
                name="network.onnx",
                recipe="network",
                size_bytes=len(self.whole),
                sha256=hashlib.sha256(self.whole).hexdigest(),
            ),
        )

    def pull(self, models: Path, location: Location | None = None) -> Path:
        location = location or Location(folder=self.source)
        return fetch(models, "m", "graph", self.download, location, Heard())


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    for module in (recipes, pulling):
        monkeypatch.setattr(module, "RECIPES", tmp_path / "recipes")
    return Network(tmp_path)


def test_weights_with_a_different_layout_and_precision_give_the_known_file(
    network: Network, tmp_path: Path
) -> None:
    path = network.pull(tmp_path / "models")
    assert path.read_bytes() == network.whole
    assert files_below(tmp_path / "models") == ["network.onnx"]
    assert is_in_place(tmp_path / "models", "m", "graph", network.download)


def test_a_folder_may_have_a_file_converted_on_another_machine(
    network: Network, tmp_path: Path
) -> None:
    (network.source / "weights.bin").unlink()
    (network.source / "network.onnx").write_bytes(network.whole)
    assert network.pull(tmp_path / "models").read_bytes() == network.whole


def test_a_wrong_byte_in_the_published_file_converts_nothing(
    network: Network, tmp_path: Path
) -> None:
    wrong = network.published[:200] + b"\x01" + network.published[201:]
    (network.source / "weights.bin").write_bytes(wrong)
    with pytest.raises(ConfigError, match=r"weights\.bin has sha256 .*, expected"):
        network.pull(tmp_path / "models")
    assert files_below(tmp_path / "models") == []


def test_a_damaged_recipe_installs_nothing(network: Network, tmp_path: Path) -> None:
    rest = bytearray((network.folder / "rest.bin").read_bytes())
    rest[-1] ^= 1
    (network.folder / "rest.bin").write_bytes(rest)
    with pytest.raises(ConfigError, match=r"network\.onnx has sha256"):
        network.pull(tmp_path / "models")
    assert files_below(tmp_path / "models") == ["weights.bin"]


def test_a_network_with_different_outputs_is_not_installed(
    network: Network, tmp_path: Path
) -> None:
    stored = np.load(network.folder / "reference.npy")
    np.save(network.folder / "reference.npy", stored + np.float32(0.01))
    with pytest.raises(ConfigError, match=r"its output z differs by 1\.0e-02 from the stored"):
        network.pull(tmp_path / "models")
    assert "network.onnx" not in files_below(tmp_path / "models")
    np.save(network.folder / "reference.npy", stored)
    network.pull(tmp_path / "models", Location())  # not fetched again: no source answers


def test_a_damaged_converted_file_is_converted_again(network: Network, tmp_path: Path) -> None:
    path = network.pull(tmp_path / "models")
    path.write_bytes(network.whole[:-1] + b"\x00")
    entry = next(iter(read_registry(ROOT / "configs").models.values())).model_copy(
        update={"downloads": {"graph": network.download}, "files": {}}
    )
    assert own_state(tmp_path / "models", "m", entry) is State.DAMAGED
    network.pull(tmp_path / "models")
    assert own_state(tmp_path / "models", "m", entry) is State.READY


KILLED = """
import os, signal, sys
from pathlib import Path
from models import pull
from models.convert import recipe
from services.common.inference.registry import Download
from tests.unit.models.test_pull import Heard

def die(rest, weights, published):
    yield rest[:100]
    os.kill(os.getpid(), signal.SIGKILL)

base, download = Path(sys.argv[1]), Download.model_validate_json(sys.argv[2])
recipe.RECIPES = pull.RECIPES = base / "recipes"
pull.onnx_chunks = die
location = pull.Location(folder=base / "stick")
pull.fetch(base / "models", "m", "graph", download, location, Heard())
"""


def test_the_next_pull_finishes_one_that_was_killed_while_converting(
    network: Network, tmp_path: Path
) -> None:
    source = UrlSource(url="https://models.invalid/weights.bin")
    download = network.download.model_copy(update={"sources": [source]}).model_dump_json()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(tmp_path), download]
    killed = subprocess.run(command, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "models" / "m" / "network.onnx").exists()
    shutil.rmtree(network.source)
    path = network.pull(tmp_path / "models", Location())  # not fetched: no source answers
    assert path.read_bytes() == network.whole
    assert files_below(tmp_path / "models") == ["network.onnx"]


def test_a_disk_that_is_full_while_converting_is_reported_and_the_next_try_succeeds(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.pull(tmp_path / "models").unlink()
    (tmp_path / "models" / "m" / "weights.bin").write_bytes(network.published)
    with monkeypatch.context() as patched:
        patched.setattr(pulling, "open_partial", open_full_disk)
        with pytest.raises(ConfigError, match=r"network\.onnx: .*the disk is full"):
            network.pull(tmp_path / "models", Location())
    assert files_below(tmp_path / "models") == ["weights.bin"]
    assert network.pull(tmp_path / "models", Location()).read_bytes() == network.whole


def test_nothing_is_installed_if_no_source_answers(network: Network, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="Connection refused"):
        network.pull(tmp_path / "models", Location())


def test_every_recipe_is_used_and_complete() -> None:
    entries = read_registry(ROOT / "configs").models.values()
    downloads = [download for entry in entries for download in entry.downloads.values()]
    used = {
        one.conversion.recipe: one
        for one in downloads
        if isinstance(one.conversion, RecipeConversion)
    }
    checkpoints = {one.export.architecture: one.export for one in entries if one.export}
    variants = {one: VARIANTS.get(one, (one,)) for one in checkpoints}
    names = {name for several in variants.values() for name in several}
    assert names | set(used) == {path.name for path in RECIPES.iterdir()}
    for architecture, export in checkpoints.items():
        for name in variants[architecture]:
            assert set(recipes.read_checkpoint_recipe(RECIPES / name).graphs) == set(export.files)
    for name, download in used.items():
        recipe = recipes.read_recipe(RECIPES / name)
        assert isinstance(download.conversion, RecipeConversion)
        assert download.size_bytes is not None
        published = bytes(download.size_bytes)  # all weights are present, with the value 0
        rest = (RECIPES / name / "rest.bin").read_bytes()
        content = b"".join(onnx_chunks(rest, recipe.weights, published))
        assert len(content) == download.conversion.size_bytes
        onnx.load_from_string(content)


def test_the_reference_input_is_the_same_everywhere() -> None:
    described = Input(name="x", shape=[2, 3, 4, 5], largest=255.0)
    values = reference_input(described)
    assert values.dtype == np.float32
    assert values[0, 0, 0, 0] == 255.0
    assert (values[1, 2, 3, 4], values.min(), values.max()) == (31.0, 31.0, 255.0)


def test_a_real_file_converts_to_the_known_network(tmp_path: Path) -> None:
    published = ROOT.parent / "shared" / "models" / "mobilenet_v3_small_embedder.tflite"
    if not published.is_file():
        pytest.skip(f"{published} is not available")
    entry = read_registry(ROOT / "configs").models["mediapipe-mobilenet-v3-small"]
    download = entry.downloads["graph"]
    (tmp_path / "stick").mkdir()
    shutil.copy(published, tmp_path / "stick" / download.name)
    location = Location(folder=tmp_path / "stick")
    path = fetch(tmp_path / "models", "m", "graph", download, location, Heard())
    known = published.with_name("mobilenet_v3_small_075_224_embedder.onnx")
    assert path.read_bytes() == known.read_bytes()
    check_against_reference(path, RECIPES / "mobilenet-v3-small")
