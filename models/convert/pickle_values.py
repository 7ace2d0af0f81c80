"""Reads the values in a PyTorch pickle without building any object that the pickle names.

`pickletools.genops` lists the operations of a pickle without executing them. This module executes
only those that build plain values and describe tensors. Everything else is an error: no class that
the file names is imported or called, so a malicious file cannot run anything.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

STORAGE_TYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
"""PyTorch's storage classes, and the type of their numbers."""
_IGNORED = {
    "_codecs.encode",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "torch.Size",
    "torch.device",
}
"""Objects that training scripts store beside the weights, such as a score that is a NumPy
number."""


class ForbiddenObjectError(ValueError):
    """A pickle contains an object other than tensors and plain values; the message is its name."""


@dataclass(frozen=True)
class Named:
    """A class or function that a pickle names; only its name is known here."""

    name: str


@dataclass(frozen=True)
class Ignored:
    """An object beside the weights; only its class is known."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A sequence of numbers that is stored outside the pickle.

    Attributes:
        key: Its name in the file.
        dtype: NumPy's name for its type, or "bfloat16".
        count: Its length.
    """

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as described in a pickle: a view of a storage, in units of its numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_pickle(stream: IO[bytes]) -> object:
    """Reads one pickle, and leaves the stream positioned after it.

    Returns:
        Plain values, containers of them, `StoredTensor` and `Ignored`.

    Raises:
        ForbiddenObjectError: The pickle contains any other object.
        ValueError, TypeError, KeyError, IndexError: It is damaged, or has an unknown operation.
    """
    return _Machine().run(stream)


class _Mark:
    """Marks where the next container's items start on the stack."""


class _Machine:
    """Executes the operations of one pickle; `pickletools` names select the methods."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: IO[bytes]) -> object:
        for operation, argument, _ in pickletools.genops(stream):
            name = operation.name
            if name in _PUSHED:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            elif name in _OPERATIONS:
                _OPERATIONS[name](self, argument)
            else:
                raise ValueError(f"unknown operation {name}")
        (value,) = self.stack
        return value

    def remember(self, key: int | None) -> None:
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]

    def recall(self, key: int) -> None:
        self.stack.append(self.memo[key])

    def mark(self, _: object) -> None:
        self.stack.append(_Mark)

    def make_tuple(self, count: int | None) -> None:
        items = self._after_mark() if count is None else self._pop(count)
        self.stack.append(tuple(items))

    def append(self, count: int | None) -> None:
        items = self._after_mark() if count is None else self._pop(count)
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError("items of something other than a list")
        target.extend(items)

    def set_items(self, count: int | None) -> None:
        items = self._after_mark() if count is None else self._pop(count)
        target = self.stack[-1]
        keys = items[::2]
        # other keys could be nested so deeply that hashing them would overflow the stack
        if not (isinstance(target, dict) and all(isinstance(key, (str, int)) for key in keys)):
            raise TypeError("a key that is neither a name nor a number")
        target.update(zip(keys, items[1::2], strict=True))

    def name(self, argument: str | None) -> None:
        if argument is None:
            module, attribute = self._pop(2)
        else:
            module, _, attribute = argument.partition(" ")
        found = f"{module}.{attribute}"
        is_storage = module == "torch" and attribute in STORAGE_TYPES
        if not (is_storage or found in _CALLS or found in _IGNORED):
            raise ForbiddenObjectError(found)
        self.stack.append(Named(found))

    def call(self, _: object) -> None:
        named, arguments = self._pop(2)
        if named.name in _IGNORED:
            self.stack.append(Ignored(named.name))
        else:
            self.stack.append(_CALLS[named.name](*arguments))

    def set_state(self, _: object) -> None:
        """Drops an object's attributes, because those of a state dict only describe its modules."""
        self._pop(1)
        if not isinstance(self.stack[-1], (dict, Ignored)):
            raise TypeError("attributes of something other than a state dict")

    def refer(self, _: object) -> None:
        kind, named, key, _, count, *view = self._pop(1)[0]
        if kind != "storage" or any(part is not None for part in view):
            raise ValueError("an unknown reference")
        dtype = STORAGE_TYPES[named.name.removeprefix("torch.")]
        self.stack.append(Storage(str(key), dtype, int(count)))

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("too few values")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _after_mark(self) -> list[Any]:
        place = len(self.stack) - 1 - self.stack[::-1].index(_Mark)
        taken = self.stack[place + 1 :]
        del self.stack[place:]
        return taken


def _tensor(
    storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> StoredTensor:
    return StoredTensor(storage, offset, shape, strides)


def _parameter(tensor: StoredTensor, *_: object) -> StoredTensor:
    return tensor


def _ordered_dict() -> dict[Any, Any]:
    return {}  # its items follow


_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
}
_PUSHED = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda *_: None),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.recall),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), _Machine.name),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine.call),
    "MARK": _Machine.mark,
    "TUPLE": _Machine.make_tuple,
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "APPEND": lambda machine, _: machine.append(1),
    "APPENDS": lambda machine, _: machine.append(None),
    "SETITEM": lambda machine, _: machine.set_items(2),
    "SETITEMS": lambda machine, _: machine.set_items(None),
    "BUILD": _Machine.set_state,
    "BINPERSID": _Machine.refer,
}
