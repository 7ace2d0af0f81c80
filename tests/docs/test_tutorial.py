"""The tutorial and the round trips, executed as written on a small album."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, draw_picture
from tests.docs.commands import find_commands
from tests.integration.command import bestshot

NOT_RUN = ("up",)
"""Commands that run until Ctrl-C."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tutorial") / "home"
    album = folder / "Pictures" / "wedding"
    album.mkdir(parents=True)
    for number in range(4):
        picture = Image.fromarray(draw_picture(number // 2, 480, 360))
        picture.save(album / f"IMG_000{number}.jpg", quality=95 - number)
    return folder


def run(page: str, home: Path) -> None:
    """Executes a page's commands in order, except those that read or write a pipe."""
    for command in find_commands(ROOT / "docs" / page):
        words = [word.replace("~", str(home)) if word[0] == "~" else word for word in command.words]
        if command.words[0] == "bestshot" and command.words[1] not in NOT_RUN:
            if not {"<", ">"} & set(command.line.split()):
                done = bestshot(words[1:], data=home / "data")
                assert done.code == 0, f"{command}: {done.text}"
        elif command.words[0] == "exiftool" and shutil.which("exiftool"):
            subprocess.run(words, check=True, capture_output=True)


def read_tags(paths: Sequence[Path], *tags: str) -> list[str]:
    command = ["exiftool", "-s3", *(f"-{tag}" for tag in tags), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.slow
def test_the_tutorial_and_the_round_trips_work_as_written(home: Path) -> None:
    album = home / "Pictures" / "wedding"
    before = {path.name: path.read_bytes() for path in album.iterdir()}
    run("tutorial.md", home)
    assert (home / "Pictures" / "wedding-best" / "index.html").is_file()
    assert {path.name: path.read_bytes() for path in album.iterdir()} == before
    run("guides/round-trips.md", home)
    after = {path.name: path.read_bytes() for path in album.glob("*.jpg")}
    assert after == before, "photos are never changed"
    assert {path.name for path in album.glob("*.xmp")} == {f"IMG_000{n}.xmp" for n in range(4)}
    selected = sorted((home / "wedding-final" / "selected").glob("*.jpg"))
    assert selected
    assert all(path.with_suffix(".xmp").is_file() for path in selected)
    with zipfile.ZipFile(home / "wedding.zip") as packed:
        assert {path.name for path in selected} <= {os.path.basename(n) for n in packed.namelist()}
    if shutil.which("exiftool"):
        assert read_tags(selected[:1], "XMP:Rating", "XMP:Label") == ["5", "Green"]
        assert "bestshot:selected" in read_tags(selected[:1], "XMP:Subject")[0]
