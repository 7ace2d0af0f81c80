"""ONNX Runtime behind a protocol; the only file that imports it."""

from __future__ import annotations

import ctypes
import importlib.metadata
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import platformdirs
from numpy.typing import NDArray

from services.common.errors import ConfigError

try:
    import onnxruntime
except ImportError:  # reported when a graph is loaded; models that are formulas do not need it
    onnxruntime = None

DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")
"""Both have the module onnxruntime; the extras `cpu` and `gpu` install one each."""
FloatArray = NDArray[np.float32]


class ModelSession(Protocol):
    """A loaded graph."""

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers in use, in order of preference."""
        ...

    @property
    def missing_providers(self) -> tuple[str, ...]:
        """Requested execution providers that cannot be used."""
        ...

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs, in the order that `run` returns them."""
        ...

    @property
    def takes_batches(self) -> bool:
        """Whether the first axis of every input may have any length."""
        ...

    def run(self, inputs: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Runs the graph once; thread-safe."""
        ...


@dataclass(frozen=True)
class SessionOptions:
    """Options for running a graph.

    Attributes:
        execution_providers: ONNX Runtime's providers, in order of preference.
        strict_providers: Whether an unavailable provider is an error; otherwise the next one is
            used.
        device_id: Index of the GPU, for GPU providers.
        gpu_memory_limit_mb: Maximum GPU memory, in MiB, for this graph (CUDA) or its workspace
            (TensorRT); None = no limit.
        intra_op_threads: Threads of one inference; 0 = one per core.
    """

    execution_providers: Sequence[str] = ("CPUExecutionProvider",)
    strict_providers: bool = True
    device_id: int = 0
    gpu_memory_limit_mb: int | None = None
    intra_op_threads: int = 0


class OrtSession:
    """A graph loaded from one verified file by ONNX Runtime.

    Args:
        path: The ONNX file; external data is not supported.
        options: How to run it.

    Raises:
        ConfigError: ONNX Runtime is missing or installed twice, no requested provider is available,
            one is missing and `strict_providers` is set, or the file is not a valid graph.
    """

    def __init__(self, path: Path, options: SessionOptions) -> None:
        check_runtime()
        available = _usable_providers()
        usable = [name for name in options.execution_providers if name in available]
        if not usable:
            raise ConfigError(
                f"none of the execution providers {list(options.execution_providers)} is "
                f"available; this machine has {available}"
            )
        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = options.intra_op_threads
        session_options.log_severity_level = 3
        # spinning threads in five processes would steal each other's cores
        session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(),
                sess_options=session_options,
                providers=[(name, provider_options(name, options)) for name in usable],
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise ConfigError(f"cannot load {path} as an ONNX graph: {error}") from error
        self._missing = tuple(
            name for name in options.execution_providers if name not in self.providers
        )
        if self._missing and options.strict_providers:
            raise ConfigError(
                f"strict_providers is true, but {', '.join(self._missing)} cannot be used on this "
                f"machine; it has {available}"
            )

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers in use, without those that could not be loaded."""
        return tuple(self._session.get_providers())

    @property
    def missing_providers(self) -> tuple[str, ...]:
        """Requested execution providers that cannot be used."""
        return self._missing

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        return tuple(entry.name for entry in self._session.get_inputs())

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs, in the order that `run` returns them."""
        return tuple(entry.name for entry in self._session.get_outputs())

    @property
    def takes_batches(self) -> bool:
        """Whether the first axis of every input may have any length."""
        return not any(isinstance(entry.shape[0], int) for entry in self._session.get_inputs())

    def run(self, inputs: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Runs the graph once; thread-safe."""
        return list(self._session.run(None, dict(inputs)))


def check_runtime() -> None:
    """Checks that exactly one distribution of ONNX Runtime is installed.

    Raises:
        ConfigError: None is installed, or both are.
    """
    if onnxruntime is None:
        raise ConfigError(
            "ONNX Runtime is not installed: install 'bestshot[cpu]', or 'bestshot[gpu]' for an "
            "NVIDIA GPU"
        )
    if all(map(_is_installed, DISTRIBUTIONS)):
        raise ConfigError(
            f"{' and '.join(DISTRIBUTIONS)} are both installed, and each overwrites files of the "
            f"other: run `pip uninstall {' '.join(DISTRIBUTIONS)}`, then install 'bestshot[cpu]' "
            f"or 'bestshot[gpu]'"
        )


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def run_items(session: ModelSession, items: Sequence[Mapping[str, FloatArray]]) -> list[FloatArray]:
    """Runs a graph on many items, in one inference if possible.

    Args:
        session: The graph.
        items: Inputs of each item, by name; the first axis of each array is 1.

    Returns:
        The first output of each item, in order; its first axis is 1.
    """
    alike = len({tuple(array.shape for array in item.values()) for item in items}) == 1
    if len(items) == 1 or not (session.takes_batches and alike):
        return [session.run(item)[0] for item in items]
    names = list(items[0])
    joined = {name: np.concatenate([item[name] for item in items]) for name in names}
    output = session.run(joined)[0]
    return [output[index : index + 1] for index in range(len(items))]


def run_rows(session: ModelSession, rows: FloatArray, most: int) -> list[FloatArray]:
    """Runs a graph with one input on many rows, in as few inferences as possible.

    Args:
        session: The graph.
        rows: Its input; the first axis has a length of at least 1.
        most: Maximum number of rows per inference, which limits its memory.

    Returns:
        The outputs, in the order of `output_names`, each with one row per input row.
    """
    count = most if session.takes_batches else 1
    (name,) = session.input_names
    answers = [
        session.run({name: rows[start : start + count]}) for start in range(0, len(rows), count)
    ]
    return [np.concatenate(parts) for parts in zip(*answers, strict=True)]


def provider_options(name: str, options: SessionOptions) -> dict[str, str]:
    """Returns the options of one execution provider, with ONNX Runtime's names.

    TensorRT takes minutes to build a graph's engine, so it is kept in the user's cache folder.
    """
    if not name.startswith(("CUDA", "Tensorrt")):
        return {}
    found = {"device_id": str(options.device_id)}
    if name.startswith("Tensorrt"):
        found["trt_engine_cache_enable"] = "True"
        found["trt_engine_cache_path"] = str(platformdirs.user_cache_path("bestshot") / "tensorrt")
    if options.gpu_memory_limit_mb is not None:
        limit = "gpu_mem_limit" if name.startswith("CUDA") else "trt_max_workspace_size"
        found[limit] = str(options.gpu_memory_limit_mb << 20)
    return found


def _usable_providers() -> list[str]:
    """Lists the providers of this build, except NVIDIA's if the machine has no driver.

    The GPU build lists CUDA on every machine and reports a missing driver only on stderr.
    """
    available = list(onnxruntime.get_available_providers())
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return [name for name in available if not name.startswith(("CUDA", "Tensorrt", "NvTensor"))]
    return available
