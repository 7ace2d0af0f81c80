"""Real photos, curated with the builtin models and with published ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.conftest import ROOT
from tests.integration.command import Curated, bestshot, curate

REAL_MODELS = ROOT.parent / "shared" / "models"
PROFILES = ("builtin", "lite")

Curate = Callable[..., Curated]
Figures = dict[str, dict[str, str]]
"""What was measured, by profile."""


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """Collects what the tests measure, and prints it as one table at the end."""
    found: Figures = {}
    yield found
    if found:
        columns = ("builtin", "lite", "reference")
        table = Table("", *columns)
        for what, values in found.items():
            table.add_row(what, *(values.get(column, "") for column in columns))
        console = Console(width=100)
        console.print()
        console.print(table)


@pytest.fixture(scope="session")
def curated_folder(
    real_photos: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Curate:
    """Curates a folder of real photos under a profile, each once; all share a feature cache."""
    base = tmp_path_factory.mktemp("accuracy")
    done: dict[tuple[str, str], Curated] = {}
    changes = {"BESTSHOT_MODELS_DIR": str(base / "models")}

    def find(name: str, profile: str = "builtin") -> Curated:
        photos = real_photos(name)
        if profile == "lite" and not (base / "models").exists():
            if not REAL_MODELS.is_dir():
                pytest.skip(f"the real networks {REAL_MODELS} are not here")
            pull = ["models", "pull", "--profile", profile, "--from", REAL_MODELS]
            assert bestshot(pull, data=base / "data", changes=changes).code == 0
        if (name, profile) not in done:
            done[name, profile] = curate(
                photos,
                base / str(len(done)),
                base / "data",
                *("--profile", profile),
                changes=changes,
            )
        return done[name, profile]

    return find
