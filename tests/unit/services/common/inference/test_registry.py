"""The registry of models."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.common.inference.registry import read_pins, write_pin


def test_models_that_are_pinned_simultaneously_are_all_pinned(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: write_pin(tmp_path, name, "graph", "a" * 64), names))
    assert sorted(read_pins(tmp_path)) == sorted(names)
