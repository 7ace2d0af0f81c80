"""Tensors in files of PyTorch and safetensors, and files that would run code if unpickled."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.convert.tensor_file import open_tensors
from services.common.errors import ConfigError
from tests.checkpoints import FORMATS, legacy, safetensors, zipped

pytestmark = pytest.mark.slow

STATE = {
    "weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([[1.5], [-3.0]], dtype=torch.bfloat16),
    "num_batches_tracked": torch.tensor(7),
    "none": torch.zeros(0, 3),
}


def read(path: Path) -> dict[str, tuple[str, Any]]:
    with open_tensors(path) as tensors:
        for tensor in tensors.values():
            assert tensor.read().shape == tensor.shape
        return {key: (one.dtype, one.read().tolist()) for key, one in tensors.items()}


def expected(state: dict[str, torch.Tensor]) -> dict[str, tuple[str, Any]]:
    return {
        key: (str(tensor.dtype).removeprefix("torch."), tensor.tolist())
        for key, tensor in state.items()
    }


@pytest.mark.parametrize("write", FORMATS)
def test_tensors_are_read_from_every_format(
    write: Callable[[Path, dict[str, torch.Tensor]], None], tmp_path: Path
) -> None:
    write(tmp_path / "state", STATE)
    assert read(tmp_path / "state") == expected(STATE)


@pytest.mark.parametrize("write", [zipped, legacy])
def test_views_of_shared_storages_are_read_as_pytorch_shows_them(
    write: Callable[[Path, Any], None], tmp_path: Path
) -> None:
    whole = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    parameter = torch.nn.Parameter(torch.ones(2))
    state = {"whole": whole, "turned": whole.t(), "corner": whole[1:, 2:], "parameter": parameter}
    write(tmp_path / "state", state)
    assert read(tmp_path / "state") == expected(state)


@pytest.mark.parametrize("write", [zipped, legacy])
def test_a_training_checkpoint_gives_its_state_dict(
    write: Callable[[Path, Any], None], tmp_path: Path
) -> None:
    content = {
        "epoch": 3,
        "config": {"path": Path("x"), "widths": [1, 2.5, None, True], "size": torch.Size([1, 2])},
        "val_spearman": np.float64(0.5),
        "optimizer": {"state": {0: {"momentum": torch.ones(2)}}},
        "model_state_dict": torch.nn.BatchNorm1d(2).state_dict(),
    }
    write(tmp_path / "state", content)
    assert set(read(tmp_path / "state")) == set(content["model_state_dict"])


def test_the_trunk_of_a_resnet_gets_its_names_back(tmp_path: Path) -> None:
    one = torch.ones(1)
    names = ["backbone.4.0.conv1.weight", "backbone.0.weight", "head.0.bias", "backbone.fc.bias"]
    zipped(tmp_path / "state", dict.fromkeys(names, one))
    assert set(read(tmp_path / "state")) == {
        "backbone.layer1.0.conv1.weight",
        "backbone.conv1.weight",
        "head.0.bias",
    }
    zipped(tmp_path / "state", {"backbone.0.weight": one, "backbone.conv1.weight": one})
    with pytest.raises(ConfigError, match=r"has 'backbone\.conv1\.weight' twice"):
        read(tmp_path / "state")


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("write", [zipped, legacy])
@pytest.mark.parametrize(
    "around",
    [
        lambda evil: evil,
        lambda evil: {"weight": evil},
        lambda evil: {**STATE, "weight": OrderedDict(x=evil)},
        lambda evil: {"model_state_dict": STATE, "config": [evil]},
    ],
)
def test_nothing_in_a_malicious_file_runs(
    write: Callable[[Path, Any], None], around: Callable[[Evil], Any], tmp_path: Path
) -> None:
    write(tmp_path / "state", around(Evil(tmp_path / "ran")))
    with pytest.raises(ConfigError, match=r"a Python object \(posix\.mkdir\), which could run"):
        read(tmp_path / "state")
    assert not (tmp_path / "ran").exists()


def test_opcodes_that_build_objects_in_other_ways_do_not_run_either(tmp_path: Path) -> None:
    marker = str(tmp_path / "ran").encode()
    text = b"X" + len(marker).to_bytes(4, "little") + marker
    for pickled in (
        b"\x80\x02(" + text + b"ios\nmkdir\n.",  # INST
        b"\x80\x02(cos\nmkdir\n" + text + b"o.",  # OBJ
        b"\x80\x02cos\nmkdir\n" + text + b"\x85\x81.",  # NEWOBJ
        b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + text + b"\x85R.",  # STACK_GLOBAL
        b"\x80\x02ctorch\nFloatStorage\n" + text + b"\x85R.",  # a storage, called
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00aK\x01sb0.",  # POP
    ):
        with zipfile.ZipFile(tmp_path / "state", "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
        with pytest.raises(ConfigError, match="not a checkpoint with only weights"):
            read(tmp_path / "state")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
        ([torch.ones(1)], "it has no names"),
        ({"epoch": 3}, "'epoch' is not a tensor"),
        ({3: torch.ones(1)}, "3 is not a tensor"),
    ],
)
def test_the_error_names_anything_that_is_not_weights(
    content: Any, message: str, tmp_path: Path
) -> None:
    zipped(tmp_path / "state", content)
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / "state")


def test_a_tensor_outside_its_storage_is_refused(tmp_path: Path) -> None:
    zipped(tmp_path / "state", {"weight": torch.arange(6.0)})
    with zipfile.ZipFile(tmp_path / "state") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (pickled,) = (name for name in parts if name.endswith("data.pkl"))
    assert parts[pickled].count(b"K\x06\x85") == 1  # its shape, (6,)
    parts[pickled] = parts[pickled].replace(b"K\x06\x85", b"K\x07\x85")
    with zipfile.ZipFile(tmp_path / "state", "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(ConfigError, match="damaged"):
        read(tmp_path / "state")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "state", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(ConfigError, match="damaged"):
        read(tmp_path / "state")


@given(st.sampled_from(FORMATS), st.data())
def test_a_damaged_file_causes_an_error_or_still_has_tensors(
    write: Callable[[Any, dict[str, torch.Tensor]], None], data: st.DataObject
) -> None:
    written = io.BytesIO()
    write(written, STATE)
    content = bytearray(written.getvalue())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    else:
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    with tempfile.NamedTemporaryFile() as file, contextlib.suppress(ConfigError):
        file.write(content)
        file.flush()
        read(Path(file.name))


def test_damaged_safetensors_are_refused(tmp_path: Path) -> None:
    safetensors(tmp_path / "state", {"weight": torch.ones(2)})
    content = (tmp_path / "state").read_bytes()
    for changed in (
        content[:-1],
        content.replace(b'"shape": [2]', b'"shape": [3]'),
        content.replace(b"[0, 8]", b"[8, 0]"),
        (1 << 40).to_bytes(8, "little") + content[8:],
    ):
        assert changed != content
        (tmp_path / "state").write_bytes(changed)
        with pytest.raises(ConfigError, match="damaged"):
            read(tmp_path / "state")
