"""Fixtures that several test files share: an album, its results, running model services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from orchestrator.cli.demo import VARIANTS, make_album
from tests.integration.command import Curated, curate
from tests.integration.parts import Part, model_services


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of six shots each, a subfolder, and three files that are not pictures."""
    folder = tmp_path_factory.mktemp("album")
    make_album(folder)
    for path in folder.iterdir():  # the cascades need three times as long for the demo's size
        with Image.open(path) as opened:
            small = opened.resize((opened.width * 6 // 10, opened.height * 6 // 10))
        small.save(path, quality=VARIANTS[path.stem.partition("-")[2]][1])
    (folder / "more").mkdir()
    (folder / "flower-4-dark.jpg").rename(folder / "more" / "=2+5 flower.jpg")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "letter.jpg").write_text("Dear all, this is no picture.")
    content = (folder / "china-1-sharp.jpg").read_bytes()
    (folder / "torn.jpg").write_bytes(content[:300])
    return folder


@pytest.fixture(scope="session")
def curated(album: Path, tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """The album's results."""
    base = tmp_path_factory.mktemp("curated")
    return curate(album, base / "out", base / "data")


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Part]]:
    """The four model services as processes; a test that stops a service has to restart it."""
    with model_services(tmp_path_factory.mktemp("services")) as parts:
        yield parts
