"""Real photos, curated with the built-in models and with published ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.conftest import REAL_PHOTOS, ROOT
from tests.integration.command import Curated, bestshot, curate
from tests.integration.up import running_up

REAL_MODELS = ROOT.parent / "shared" / "models"
PROFILES = ("builtin", "standard", "lite")

Curate = Callable[..., Curated]
Figures = dict[str, dict[str, str]]
"""Measured values, by profile."""


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """Collects the measured values, and prints them as one table at the end."""
    found: Figures = {}
    yield found
    if found:
        columns = (*PROFILES, "reference")
        table = Table("", *columns)
        for what, values in found.items():
            table.add_row(what, *(values.get(column, "") for column in columns))
        console = Console(width=100)
        console.print()
        console.print(table)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Starts one orchestrator per profile, with the profile's models; returns its address."""
    started: dict[str, str] = {}
    base = tmp_path_factory.mktemp("running")
    with contextlib.ExitStack() as stack:

        def start(profile: str) -> str:
            if profile not in started:
                folder, changes = base / profile, {}
                if profile != "builtin":
                    changes["BESTSHOT_MODELS_DIR"] = str(folder / "models")
                    pull_real_models(profile, folder / "data", changes)
                flags = ("--no-ui", "--profile", profile)
                roots = [REAL_PHOTOS, tmp_path_factory.getbasetemp()]
                system = running_up(folder, roots, *flags, changes=changes)
                started[profile] = stack.enter_context(system)["orchestrator"]
            return started[profile]

        yield start


def pull_real_models(profile: str, data: Path, changes: dict[str, str]) -> None:
    """Pulls the networks of a profile; skips the test if they are not available."""
    pull = ["models", "pull", "--profile", profile]
    if profile == "lite":
        if not REAL_MODELS.is_dir():
            pytest.skip(f"the real networks {REAL_MODELS} are not available")
        pull += ["--from", str(REAL_MODELS)]
    finished = bestshot(pull, data=data, changes=changes)
    if profile == "standard" and finished.code != 0:
        pytest.skip(f"the networks of `standard` cannot be pulled: {finished.text[-300:]}")
    assert finished.code == 0


def pull_embedding(model_id: str, folder: Path) -> None:
    """Pulls an embedding from the real networks or its source; skips the test if that fails."""
    changes = {"BESTSHOT_MODELS_DIR": str(folder)}
    pull = ["models", "pull", model_id]
    for source in (["--from", REAL_MODELS], []):
        finished = bestshot([*pull, *source], data=folder / "data", changes=changes)
        if finished.code == 0:
            return
    pytest.skip(f"{model_id} is not available: {finished.text.strip()}")


@pytest.fixture(scope="session")
def curated_folder(
    real_photos: Callable[[str], Path],
    running: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Curate:
    """Curates each folder of real photos once per profile; all runs share a feature cache."""
    base = tmp_path_factory.mktemp("accuracy")
    done: dict[tuple[str, str], Curated] = {}

    def find(name: str, profile: str = "builtin") -> Curated:
        photos = real_photos(name)
        if (name, profile) not in done:
            address = running(profile if profile in PROFILES else "builtin")
            flags = ("--profile", profile, "--orchestrator", address)
            done[name, profile] = curate(photos, base / str(len(done)), base / "data", *flags)
        return done[name, profile]

    return find
