"""A real browser and a real system, on real pictures that are free to publish."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import skimage.data
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from PIL import Image, ImageEnhance, ImageFilter
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from orchestrator.cli.launcher import PRELOADED, launcher
from tests.conftest import ROOT
from tests.integration.up import running_up

launcher.preloaded = (*PRELOADED, "gradio", "gradio.routes")  # imported once, not in each UI

SCREENSHOTS = ROOT / "build" / "screenshots"
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
CHROMIUM_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
TIMEOUT_MS = 120_000
NO_MESSAGES = "[class*=toast] { display: none !important }"
NAMES = ("astronaut", "chelsea", "coffee", "rocket")
"""Pictures from scikit-image that are in the public domain or CC0."""


@dataclass(frozen=True)
class System:
    """A running bestshot.

    Attributes:
        url: URL of the UI.
        stub: Stub of the orchestrator.
        folder: Folder for albums and exports.
    """

    url: str
    stub: orchestrator_pb2_grpc.OrchestratorServiceStub
    folder: Path


def find_chromium() -> str:
    """Finds Debian's chromium; without it, tests fail in CI and are skipped elsewhere.

    The headless shell draws no window and so takes about half the processor time.
    """
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    missing = "the browser tests need the Debian package chromium-headless-shell or chromium"
    if "CI" in os.environ:
        raise AssertionError(missing)
    pytest.skip(missing)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser, closed after each module: other tests cannot run an event loop beside its own."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


def make_shots(folder: Path) -> None:
    """Makes four scenes of three or four shots, one of them blurred and one dark, and a letter."""
    folder.mkdir(parents=True)
    for name in NAMES:
        picture = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
        width, height = picture.size
        shots = {
            "1": picture,
            "2": picture.crop((12, 9, width - 4, height - 7)),
            "3-blurred": picture.filter(ImageFilter.GaussianBlur(width / 110)),
        }
        if name != "rocket":
            shots["4-dark"] = ImageEnhance.Brightness(picture).enhance(0.35)
        if name == "coffee":  # cropped, so that it becomes a second pick and not a bracket frame
            nearer = picture.crop((width // 5, height // 5, width, height))
            shots["4-dark"] = ImageEnhance.Brightness(nearer).enhance(0.35)
        for suffix, shot in shots.items():
            shot.save(folder / f"{name}-{suffix}.jpg", quality=92)
    (folder / "letter.jpg").write_text("Dear all, this is not a picture.")


@contextlib.contextmanager
def running_system(base: Path, changes: Mapping[str, str] | None = None) -> Iterator[System]:
    with (
        running_up(base, [base], changes=changes) as addresses,
        grpc.insecure_channel(addresses["orchestrator"]) as channel,
    ):
        stub = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
        yield System(f"http://{addresses['ui']}/", stub, base)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile; a request to any other machine fails the test."""
    opened = browser.new_context(viewport=DESKTOP, accept_downloads=True)
    opened.set_default_timeout(TIMEOUT_MS)
    expect.set_options(timeout=TIMEOUT_MS)
    foreign: list[str] = []
    troubles: list[str] = []

    def look(request: object) -> None:
        url = str(getattr(request, "url", ""))
        if not url.startswith(("http://127.0.0.1:", "data:", "blob:", "file:")):
            foreign.append(url)

    opened.on("request", look)
    opened.on("weberror", lambda error: troubles.append(str(error.error)))
    yield opened
    opened.close()
    assert not foreign
    assert not troubles


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """With --screenshots, saves one at desktop and one at phone width in build/screenshots."""
    wanted = request.config.getoption("--screenshots")

    def write(page: Page, name: str) -> None:
        if not wanted:
            return
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        for suffix, size in (("", DESKTOP), ("-phone", PHONE)):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            page.wait_for_timeout(300)
            page.screenshot(path=SCREENSHOTS / f"{name}{suffix}.png", style=NO_MESSAGES)
        page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]

    return write


SECTIONS = ("Albums", "Run", "What if", "Compare", "Decisions", "Models")


def open_tab(page: Page, name: str) -> None:
    """Opens a tab, or a section of Run Pipeline."""
    if name in SECTIONS:
        page.get_by_role("tab", name="Run Pipeline", exact=True).click()
    page.get_by_role("tab", name=name, exact=True).click()
