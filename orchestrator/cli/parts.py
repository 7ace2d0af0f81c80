"""The parts of bestshot, and how to run each of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.common.config.folders import MODEL_SERVICES as MODEL_SERVICES

if TYPE_CHECKING:
    from services.common.config.layers import ConfigFile

_START = "services.common.process.start"
PARTS = (*MODEL_SERVICES, "orchestrator", "ui")


def part_module(name: str) -> str:
    """Returns the module that runs a part under `python -m`."""
    return f"services.{name}" if name in MODEL_SERVICES else name


def part_command(name: str, arguments: Sequence[str]) -> list[str]:
    """Returns the command that runs one part in the foreground."""
    # -P: with -m alone, the current folder, which often holds someone else's photos, comes first on
    # the module path, and a yaml.py there would be executed
    return [sys.executable, "-P", "-m", _START, part_module(name), *arguments]


def config_flags(name: str, files: Sequence[ConfigFile]) -> list[str]:
    """Makes flags for the --config files a part reads: only the orchestrator reads `pipeline`."""
    own = [file for file in files if name == "orchestrator" or file.section("services").data]
    return [flag for file in own for flag in ("--config", str(Path(file.source).absolute()))]
