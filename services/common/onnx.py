"""ONNX Runtime behind a protocol: the one file that imports it."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from services.common.errors import ConfigError

logger = logging.getLogger(__name__)

FloatArray = NDArray[np.float32]


class ModelSession(Protocol):
    """A loaded graph."""

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers that serve, in order of preference."""
        ...

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs, in the order of what `run` returns."""
        ...

    def run(self, inputs: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Runs the graph once; thread-safe."""
        ...


class OrtSession:
    """A graph loaded from one verified file by ONNX Runtime.

    Args:
        path: The ONNX file; external data is not supported.
        execution_providers: Wanted ones in order; those that this machine lacks are left out.
        intra_op_threads: Threads of one inference; 0 = one per core.

    Raises:
        ConfigError: No wanted provider is there, or the file is no valid graph.
    """

    def __init__(
        self, path: Path, *, execution_providers: Sequence[str], intra_op_threads: int
    ) -> None:
        available = _usable_providers()
        usable = [name for name in execution_providers if name in available]
        if not usable:
            raise ConfigError(
                f"none of the execution providers {list(execution_providers)} is available; "
                f"this machine has {available}"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = intra_op_threads
        options.log_severity_level = 3
        # spinning threads of five processes steal each other's cores
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(), sess_options=options, providers=usable
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise ConfigError(f"cannot load {path} as an ONNX graph: {error}") from error
        served = self._session.get_providers()
        for name in execution_providers:
            if name not in served:
                logger.info("execution provider %s is not usable here; %s serves", name, served)

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers that serve; what could not be loaded is not among them."""
        return tuple(self._session.get_providers())

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        return tuple(entry.name for entry in self._session.get_inputs())

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs, in the order of what `run` returns."""
        return tuple(entry.name for entry in self._session.get_outputs())

    def run(self, inputs: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Runs the graph once; thread-safe."""
        return list(self._session.run(None, dict(inputs)))


def _usable_providers() -> list[str]:
    """Providers of this build, without those of NVIDIA where the machine has no driver for it.

    The GPU build lists CUDA on every machine and reports the missing driver on stderr alone.
    """
    available = list(onnxruntime.get_available_providers())
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return [name for name in available if not name.startswith(("CUDA", "Tensorrt", "NvTensor"))]
    return available
