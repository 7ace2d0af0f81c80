"""Reads tensors from PyTorch and safetensors files without running any code in them."""

from __future__ import annotations

import contextlib
import json
import math
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.convert.pickle_values import (
    ForbiddenObjectError,
    Storage,
    StoredTensor,
    read_pickle,
)
from services.common.errors import ConfigError
from services.common.user_files import open_user_file

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First value in a file from `torch.save` before PyTorch 1.6, which introduced zip archives."""
LEGACY_VERSION = 1001
MAX_HEADER_BYTES = 100_000_000
"""The limit that safetensors' own reader uses."""
SAFETENSORS_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
TRUNK_NAMES = {
    "0": "conv1",
    "1": "bn1",
    "4": "layer1",
    "5": "layer2",
    "6": "layer3",
    "7": "layer4",
}
"""torchvision's names for the parts of a ResNet, which nn.Sequential replaces with numbers."""

T = TypeVar("T")


@dataclass(frozen=True)
class Tensor:
    """A tensor in an open file.

    Attributes:
        dtype: NumPy's name for its type, or "bfloat16".
        shape: Its shape.
        read: Reads its values; bfloat16 becomes float32 without loss.
    """

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]]


@contextlib.contextmanager
def open_tensors(path: Path) -> Iterator[dict[str, Tensor]]:
    """Opens the weights in a state dict, a training checkpoint that contains one, or safetensors.

    If a ResNet was wrapped in nn.Sequential, its weights get torchvision's names.

    Args:
        path: A file from `torch.save`, in either format, or a safetensors file.

    Yields:
        The tensors by name; they can be read while the file is open.

    Raises:
        ConfigError: The file is damaged, or contains anything but tensors and plain values.
    """
    with open_user_file(path) as opened:
        with _damage(path):
            tensors = _read(opened, path)
        yield rename_to_torchvision(tensors, path)


def rename_to_torchvision(state: dict[str, T], path: Path) -> dict[str, T]:
    """Renames "backbone.4.0.conv1.weight" to "backbone.layer1.0.conv1.weight", and so on.

    The classifier's weights (backbone.fc) are dropped, because no network here has a classifier.

    Raises:
        ConfigError: Two tensors get the same name.
    """
    renamed: dict[str, T] = {}
    for key, tensor in state.items():
        if key.startswith("backbone.fc."):
            continue
        found = re.match(r"backbone\.([014567])\.", key)
        name = f"backbone.{TRUNK_NAMES[found[1]]}.{key[found.end() :]}" if found else key
        if name in renamed:
            raise ConfigError(f"{path} has {name!r} twice")
        renamed[name] = tensor
    return renamed


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turns exceptions about damaged content into an error that names the file."""
    try:
        yield
    except ForbiddenObjectError as error:
        raise ConfigError(
            f"{path} is not a checkpoint with only weights: it contains a Python object "
            f"({error}), which could run code"
        ) from error
    except (
        *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError),
        *(struct.error, zipfile.BadZipFile, NotImplementedError, RecursionError),
        OSError,  # zipfile seeks to offsets in the content, which may be before the start
    ) as error:
        raise ConfigError(f"{path} is not a checkpoint with only weights: it is damaged") from error


def _read(opened: IO[bytes], path: Path) -> dict[str, Tensor]:
    start = opened.read(9)
    opened.seek(0)
    if start[:4] == b"PK\x03\x04":
        return _state_dict(_read_zip(opened), path)
    if start[8:] == b"{":
        return _read_safetensors(opened, path)
    return _state_dict(_read_legacy(opened), path)


@dataclass(frozen=True)
class _Pickled:
    """The value in a file from `torch.save`, and a function that reads the bytes of a storage."""

    value: object
    read: Callable[[Storage], bytes]


def _read_zip(opened: IO[bytes]) -> _Pickled:
    """Reads the format of PyTorch 1.6 and later: an archive with a pickle and its storages."""
    archive = zipfile.ZipFile(opened)
    (pickled,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name))
    folder = pickled.removesuffix("data.pkl")
    if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
        raise ValueError("PyTorch never compresses its files, so this one may not fit into memory")
    order = f"{folder}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("the wrong byte order")

    def read(storage: Storage) -> bytes:
        return archive.read(f"{folder}data/{storage.key}")

    with archive.open(pickled) as stream:
        return _Pickled(read_pickle(stream), read)


def _read_legacy(opened: IO[bytes]) -> _Pickled:
    """Reads the earlier format: five pickles, then the length and the numbers of each storage."""
    if read_pickle(opened) != LEGACY_MAGIC or read_pickle(opened) != LEGACY_VERSION:
        raise ValueError("an unknown format")
    machine, value, keys = (read_pickle(opened) for _ in range(3))
    if not isinstance(machine, dict) or not isinstance(keys, list):
        raise TypeError("an unknown format")
    if not machine["little_endian"]:
        raise ValueError("the wrong byte order")
    storages = {one.storage.key: one.storage for one in _tensors_in(value)}
    places = {}
    for key in keys:
        storage = storages[key]
        (count,) = struct.unpack("<q", opened.read(8))
        if count != storage.count:
            raise ValueError("an unexpected number of values")
        places[key] = opened.tell()
        opened.seek(count * _item_bytes(storage.dtype), 1)

    def read(storage: Storage) -> bytes:
        opened.seek(places[storage.key])
        return opened.read(storage.count * _item_bytes(storage.dtype))

    return _Pickled(value, read)


def _tensors_in(value: object) -> Iterator[StoredTensor]:
    """Yields the tensors in the containers of a pickle, including those of an optimizer."""
    waiting: list[Any] = [value]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, StoredTensor):
            yield one
        elif isinstance(one, (dict, list, tuple)) and id(one) not in seen:
            seen.add(id(one))
            waiting.extend(one.values() if isinstance(one, dict) else one)


def _state_dict(pickled: _Pickled, path: Path) -> dict[str, Tensor]:
    value = pickled.value
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is not a checkpoint with only weights: it has no names")
    state = value.get("model_state_dict", value)
    tensors = {}
    for key, stored in state.items():
        if not isinstance(key, str) or not isinstance(stored, StoredTensor):
            raise ConfigError(
                f"{path} is not a checkpoint with only weights: {key!r} is not a tensor"
            )
        tensors[key] = _tensor(stored, pickled, path)
    return tensors


def _tensor(stored: StoredTensor, pickled: _Pickled, path: Path) -> Tensor:
    storage, shape, strides = stored.storage, tuple(stored.shape), tuple(stored.strides)
    last = stored.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min((*shape, *strides, stored.offset), default=0) < 0 or last >= storage.count:
        raise ValueError("a tensor outside its storage")

    def read() -> NDArray[Any]:
        with _damage(path):
            content = pickled.read(storage)
            if len(content) != storage.count * _item_bytes(storage.dtype):
                raise ValueError("a storage of the wrong size")
            numbers = _numbers(content, storage.dtype)[stored.offset :]
            steps = [step * numbers.itemsize for step in strides]
            return np.lib.stride_tricks.as_strided(numbers, shape, steps, writeable=False)

    return Tensor(storage.dtype, shape, read)


def _read_safetensors(opened: IO[bytes], path: Path) -> dict[str, Tensor]:
    """Reads https://github.com/huggingface/safetensors#format."""
    (size,) = struct.unpack("<Q", opened.read(8))
    if size > MAX_HEADER_BYTES:
        raise ValueError("too long a header")
    header = json.loads(opened.read(size))
    header.pop("__metadata__", None)
    end = opened.seek(0, 2)
    tensors = {}
    for key, described in header.items():
        dtype, shape = SAFETENSORS_TYPES[described["dtype"]], tuple(described["shape"])
        first, last = (8 + size + place for place in described["data_offsets"])
        if not 8 + size <= first <= last <= end:
            raise ValueError("a tensor outside the file")
        if min(shape, default=0) < 0 or math.prod(shape) * _item_bytes(dtype) != last - first:
            raise ValueError("a tensor of the wrong size")
        tensors[key] = Tensor(dtype, shape, _reader(opened, first, last, dtype, shape))
    return tensors


def _reader(
    opened: IO[bytes], first: int, last: int, dtype: str, shape: tuple[int, ...]
) -> Callable[[], NDArray[Any]]:
    def read() -> NDArray[Any]:
        opened.seek(first)
        return _numbers(opened.read(last - first), dtype).reshape(shape)

    return read


def _item_bytes(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _numbers(content: bytes, dtype: str) -> NDArray[Any]:
    if dtype != "bfloat16":
        return np.frombuffer(content, np.dtype(dtype).newbyteorder("<"))
    # bfloat16 is the upper half of a float32
    return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
