"""Execution providers: those in use, missing ones, and their options."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import ConfigError
from services.common.inference import onnx
from services.common.inference.onnx import OrtSession, SessionOptions, provider_options
from tests.conftest import ROOT

GRAPH = ROOT / "models" / "builtin" / "siamese-compare.onnx"
WITH_A_MISSING_ONE = ("NoSuchExecutionProvider", "CPUExecutionProvider")


def test_a_missing_provider_is_skipped_and_reported() -> None:
    session = OrtSession(GRAPH, SessionOptions(WITH_A_MISSING_ONE, strict_providers=False))
    assert session.providers == ("CPUExecutionProvider",)
    assert session.missing_providers == ("NoSuchExecutionProvider",)


def test_a_missing_provider_is_an_error_with_strict_providers() -> None:
    with pytest.raises(ConfigError, match="strict_providers is true, but NoSuchExecutionProvider"):
        OrtSession(GRAPH, SessionOptions(WITH_A_MISSING_ONE, strict_providers=True))


def test_the_error_for_no_provider_lists_the_available_ones() -> None:
    with pytest.raises(ConfigError, match=r"this machine has .*CPUExecutionProvider"):
        OrtSession(GRAPH, SessionOptions(("NoSuchExecutionProvider",), strict_providers=False))


def test_a_file_that_is_not_a_graph_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(ConfigError, match=r"cannot load .*graph\.onnx as an ONNX graph"):
        OrtSession(path, SessionOptions())


def test_a_missing_runtime_is_an_error_that_names_the_extras(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnx, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"install 'bestshot\[cpu\]', or 'bestshot\[gpu\]'"):
        OrtSession(GRAPH, SessionOptions())


def test_two_runtimes_are_an_error_that_says_how_to_keep_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in onnx.DISTRIBUTIONS:
        metadata = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="pip uninstall onnxruntime onnxruntime-gpu"):
        OrtSession(GRAPH, SessionOptions())


def test_gpu_settings_reach_the_providers_that_have_a_gpu() -> None:
    options = SessionOptions(device_id=3, gpu_memory_limit_mb=512)
    assert provider_options("CUDAExecutionProvider", options) == {
        "device_id": "3",
        "gpu_mem_limit": str(512 * 1024 * 1024),
    }
    tensorrt = provider_options("TensorrtExecutionProvider", options)
    assert tensorrt["device_id"] == "3"
    assert tensorrt["trt_max_workspace_size"] == str(512 * 1024 * 1024)
    assert tensorrt["trt_engine_cache_enable"] == "True"
    assert tensorrt["trt_engine_cache_path"].endswith("tensorrt")
    assert provider_options("CPUExecutionProvider", options) == {}
