"""Exporting PyTorch checkpoints with the official names and random weights to ONNX."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as F

from models.convert.pictures import real_pictures
from models.export.__main__ import export
from models.export.checkpoint import load_weights, read_checkpoint
from models.export.dinov2 import (
    SHAPES,
    DinoV2,
    Shape,
    resize_positions,
    resize_positions_smoothly,
)
from models.export.graph import Graph, write
from models.export.vision import torchvision_models
from services.common.errors import ConfigError
from services.common.inference.onnx import OrtSession, SessionOptions
from services.common.inference.registry import MissingModelError, Role, find_entry, resolve
from services.common.inference.tensor import to_tensor
from tests.checkpoints import put_checkpoint
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

MODEL = "dinov2-vits14"


def random_network(shape: Shape) -> DinoV2:
    """Draws random weights scaled like trained ones, so that all parts affect the result."""
    torch.manual_seed(0)
    found = DinoV2(shape).eval()
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if "norm" not in name:
                parameter.normal_(0.0, 0.05)
    return found


@pytest.fixture(scope="module", autouse=True)
def _two_blocks() -> Iterator[None]:
    """Uses two blocks instead of twelve identical ones; test_models.py exports all twelve."""
    with pytest.MonkeyPatch.context() as patch:
        for name, shape in SHAPES.items():
            patch.setitem(SHAPES, name, replace(shape, depth=2))
        yield


@pytest.fixture(scope="module")
def network() -> DinoV2:
    return random_network(SHAPES[MODEL])


@pytest.fixture(scope="module")
def pulled(network: DinoV2, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A config folder whose registry lists the checkpoint, and a models folder that contains it."""
    return put_checkpoint(tmp_path_factory.mktemp("export"), MODEL, network.state_dict())


@pytest.fixture(scope="module")
def exported(pulled: tuple[Path, Path]) -> Path:
    (path,) = export(*pulled, MODEL, "fp32")
    return path


def embed(path: Path, pixels: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    return OrtSession(path, SessionOptions()).run({"pixels": pixels})[0]


def test_the_export_agrees_with_pytorch_on_real_pictures(
    network: DinoV2, pulled: tuple[Path, Path], exported: Path
) -> None:
    pictures = pictures_of(pulled[0])
    with torch.inference_mode():
        wanted = network(torch.from_numpy(pictures)).numpy()
    got = embed(exported, pictures)
    assert got.shape == (len(pictures), 384)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    np.testing.assert_allclose(embed(exported, pictures[:1]), wanted[:1], atol=1e-4)
    assert np.abs(wanted[0] - wanted[-1]).max() > 1e-3


def test_half_precision_gives_nearly_the_same_results(
    pulled: tuple[Path, Path], exported: Path, tmp_path: Path
) -> None:
    configs, folder = pulled
    shutil.copytree(folder, tmp_path / "models")
    (half,) = export(configs, tmp_path / "models", MODEL, "fp16")
    assert half.stat().st_size < 0.6 * exported.stat().st_size
    pictures = pictures_of(configs)
    np.testing.assert_allclose(embed(half, pictures), embed(exported, pictures), atol=2e-2)


def pictures_of(configs: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    preprocessing = find_entry(configs, MODEL).preprocessing
    assert preprocessing is not None
    return np.concatenate([to_tensor(picture, preprocessing) for picture in real_pictures()])


def test_the_file_records_its_origin(pulled: tuple[Path, Path], exported: Path) -> None:
    model = onnx.load(exported, load_external_data=False)
    facts = {prop.key: prop.value for prop in model.metadata_props}
    checkpoint = find_entry(pulled[0], MODEL).downloads["checkpoint"]
    assert facts["source_sha256"] == checkpoint.sha256
    assert facts["precision"] == "fp32"
    assert '"short_side_px": 256' in facts["preprocessing"]
    assert [entry.version for entry in model.opset_import if not entry.domain] == [18]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_an_exported_model_resolves_and_a_damaged_one_does_not(
    pulled: tuple[Path, Path], exported: Path
) -> None:
    configs, folder = pulled
    local = resolve(configs, folder, Role.EMBEDDING, MODEL)
    assert local.paths == {"graph": exported}
    content = exported.read_bytes()
    try:
        exported.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ConfigError, match="damaged"):
            resolve(configs, folder, Role.EMBEDDING, MODEL)
    finally:
        exported.write_bytes(content)


def test_the_error_for_a_model_that_is_not_exported_names_the_command(
    pulled: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(MissingModelError, match=f"bestshot models pull {MODEL}"):
        resolve(pulled[0], tmp_path, Role.EMBEDDING, MODEL)
    with pytest.raises(ConfigError, match=f"bestshot models pull {MODEL}"):
        export(pulled[0], tmp_path, MODEL, "fp32")
    with pytest.raises(ConfigError, match="needs no export"):
        export(pulled[0], tmp_path, "builtin-scene-embedding", "fp32")


def test_the_error_for_another_networks_checkpoint_names_the_first_mismatch(
    network: DinoV2, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pth"
    state = dict(network.state_dict())
    torch.save({key: value for key, value in state.items() if key != "blocks.1.ls1.gamma"}, path)
    with pytest.raises(ConfigError, match=r"has no 'blocks\.1\.ls1\.gamma'"):
        load_weights(network, read_checkpoint(path), path)
    torch.save({**state, "cls_token": torch.zeros(1, 1, 768)}, path)
    with pytest.raises(ConfigError, match=r"cls_token has the shape \(1, 1, 768\)"):
        load_weights(network, read_checkpoint(path), path)
    torch.save({**state, "register_tokens": torch.zeros(1, 4, 384)}, path)
    with pytest.raises(ConfigError, match="'register_tokens', which is not in the architecture"):
        load_weights(network, read_checkpoint(path), path)
    torch.save(network, path)
    with pytest.raises(ConfigError, match="not a checkpoint with only weights"):
        load_weights(network, read_checkpoint(path), path)


def test_positions_on_the_trained_grid_do_not_change() -> None:
    trained = torch.randn(1, 37 * 37, 8)
    assert torch.equal(resize_positions(trained, 37), trained)
    assert resize_positions(trained, 16).shape == (1, 256, 8)
    flat = torch.full((1, 37 * 37, 8), 0.25)
    torch.testing.assert_close(resize_positions(flat, 16), torch.full((1, 256, 8), 0.25))


def test_registers_affect_the_result_and_are_exported(tmp_path: Path) -> None:
    with_registers = random_network(replace(SHAPES[f"{MODEL}-reg"], depth=2))
    assert with_registers.state_dict()["register_tokens"].shape == (1, 4, 384)
    pictures = pictures_of(ROOT / "configs")
    write(
        Graph(with_registers, {"pixels": pictures}, "embedding"), tmp_path / "reg.onnx", "fp32", {}
    )
    got = embed(tmp_path / "reg.onnx", pictures)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1.0, atol=1e-5)
    with torch.no_grad():
        with_registers.register_tokens.copy_(torch.randn(1, 4, 384))
        changed = with_registers(torch.from_numpy(pictures)).numpy()
    assert np.abs(got - changed).max() > 1e-3


def test_positions_beside_registers_are_not_shifted() -> None:
    trained = torch.randn(1, 37 * 37, 8)
    mirrored = trained.reshape(1, 37, 37, 8).flip(1, 2).flatten(1, 2)
    smooth = resize_positions_smoothly(trained, 16)
    flipped = resize_positions_smoothly(mirrored, 16).reshape(1, 16, 16, 8).flip(1, 2)
    torch.testing.assert_close(flipped.flatten(1, 2), smooth, atol=1e-5, rtol=0)
    shifted = resize_positions(mirrored, 16).reshape(1, 16, 16, 8).flip(1, 2).flatten(1, 2)
    assert (shifted - resize_positions(trained, 16)).abs().max() > 1e-3


def test_torchvision_provides_its_networks_without_its_compiled_extension() -> None:
    network = torchvision_models().resnet50(weights=None).eval()
    assert network.state_dict()["layer4.2.conv3.weight"].shape == (2048, 512, 1, 1)
    with torch.inference_mode():
        assert F.softmax(network(torch.zeros(1, 3, 64, 64)), dim=1).shape == (1, 1000)
