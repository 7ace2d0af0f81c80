"""The documentation as it is published: complete, with links that work, and without other hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds it strictly: a page outside the menu or a link without a target is an error."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    path = f"{ROOT}:{ROOT / 'protos' / 'gen'}"
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_reference_is_generated_from_the_code(site: Path) -> None:
    def read(name: str) -> str:
        return (site / "reference" / f"{name}.html").read_text()

    assert "bestshot decisions import" in read("commands")
    assert "ListProposedWeightsRequest" not in read("orchestrator-api")
    assert "CreateAlbumRequest" in read("orchestrator-api")
    assert "noise_level" in read("model-api")
    assert "select_best.stability_margin" in read("settings")
    assert "AsyncClient" in read("client")
    assert "&amp;lt;" not in read("commands") + read("orchestrator-api")
    for page in site.rglob("*.html"):
        assert "<!-- generated" not in page.read_text(), page


def test_no_code_shows_an_escaped_bar(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert "\\|" not in page.read_text(), f"{page.name}: only GitHub drops the backslash"


def test_no_page_loads_anything_from_other_hosts(site: Path) -> None:
    addresses = r"<(?:script|img|iframe)[^>]* src=\"(https?:[^\"]+)"
    styles = r"<link[^>]*rel=\"stylesheet\"[^>]*href=\"(https?:[^\"]+)"
    loaded = re.compile(f"{addresses}|{styles}")
    for page in site.rglob("*.html"):
        assert not loaded.findall(page.read_text()), page


def test_every_picture_is_there(site: Path) -> None:
    found = 0
    for page in site.rglob("*.html"):
        for source in re.findall(r"<img[^>]* src=\"([^\"]+)", page.read_text()):
            found += 1
            assert (page.parent / source).is_file(), f"{page.name}: {source}"
    assert found >= 4
