"""The two ways to use the command line: a local data folder, and an orchestrator that serves it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.command import Curated, Finished, bestshot, curate
from tests.integration.parts import Part, orchestrator


@dataclass(frozen=True)
class Access:
    """Runs, and how the command accesses them.

    Attributes:
        curated: The first run.
        address: Address of the orchestrator that serves them; empty = the local data folder.
    """

    curated: Curated
    address: str = ""

    @property
    def is_served(self) -> bool:
        return bool(self.address)

    @property
    def photos(self) -> Path:
        return self.curated.photos

    @property
    def data(self) -> Path:
        return self.curated.data

    @property
    def images(self) -> dict[str, dict[str, Any]]:
        return self.curated.images

    def finish(self, *arguments: object) -> Finished:
        """Runs the command to completion."""
        # the data folder of this user is empty, so the runs can come only from the orchestrator
        data = self.data.with_name("nothing") if self.is_served else self.data
        return bestshot([*arguments, *self._flags], data=data)

    def run(self, *arguments: object, code: int = 0) -> str:
        """Runs the command to completion, and expects an exit code."""
        finished = self.finish(*arguments)
        assert finished.code == code, finished.text
        return finished.text

    def curate(self, out: Path, *arguments: object) -> Curated:
        """Curates the photos again."""
        return curate(self.photos, out, self.data, *arguments, *self._flags)

    @property
    def _flags(self) -> tuple[str, ...]:
        return ("--orchestrator", self.address) if self.is_served else ()


def copy_data(curated: Curated, folder: Path) -> None:
    """Copies a data folder before anything changes it, for tests that change their copy."""
    shutil.copytree(curated.data, folder / "data")


@contextlib.contextmanager
def served(folder: Path, services: Mapping[str, Part], curated: Curated) -> Iterator[Access]:
    """Serves the copy of a data folder that `copy_data` made in `folder`."""
    addresses = {name: part.address for name, part in services.items()}
    allowed = curated.photos.parents[1]  # contains the folders of all tests
    with orchestrator(folder, addresses, allowed) as part:
        copy = Curated(curated.photos, curated.out, folder / "data", curated.text)
        yield Access(copy, part.address)
