"""Takes the tutorial's screenshots, in `docs/pictures`, with freely licensed photos.

python -m tests.browser.docs_pictures
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import (
    CHROMIUM_FLAGS,
    DESKTOP,
    NO_MESSAGES,
    TIMEOUT_MS,
    System,
    find_chromium,
    make_shots,
    running_system,
)
from tests.conftest import ROOT

FOLDER = ROOT / "docs" / "pictures"
SIZE = (1200, 750)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        running_system(Path(place) / "base", {"BESTSHOT_PROFILE": "standard"}) as system,
    ):
        make_shots(system.folder / "wedding")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=find_chromium(), args=CHROMIUM_FLAGS
            )
            page = browser.new_page(viewport=DESKTOP)  # type: ignore[arg-type]
            page.set_default_timeout(TIMEOUT_MS)
            take_pictures(page, system, *curate(system))
            browser.close()


def curate(system: System) -> tuple[str, str]:
    """Returns the ids of the album and of its finished run."""
    folder = str(system.folder / "wedding")
    request = pb.CreateAlbumRequest(folder=folder, display_name="Wedding")
    album = system.stub.CreateAlbum(request).album
    run = system.stub.StartRun(pb.StartRunRequest(album_id=album.id)).run
    for _ in system.stub.WatchRun(pb.WatchRunRequest(run_id=run.id)):
        pass
    return album.id, run.id


def take_pictures(page: Page, system: System, album: str, run: str) -> None:
    open_view(page, f"{system.url}cull/{album}/{run}")
    save(page, "cull")
    page.keyboard.press("c")
    page.wait_for_timeout(1500)
    save(page, "compare")
    open_view(page, f"{system.url}grid/{album}/{run}")
    save(page, "grid")


def open_view(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("body.ready").wait_for()
    page.wait_for_load_state("networkidle")


def save(page: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot(style=NO_MESSAGES))).convert("RGB")
    FOLDER.mkdir(parents=True, exist_ok=True)
    small = picture.resize(SIZE, Image.Resampling.LANCZOS)
    small.save(FOLDER / f"{name}.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    main()
