"""Where `bestshot curate` writes if the user names no folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.curate import folder_for_results
from orchestrator.storage.results_manifest import MANIFEST_NAME
from services.common.errors import ConfigError


def test_results_go_beside_the_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos := tmp_path / "trip").mkdir()
    best = tmp_path / "trip-best"
    monkeypatch.chdir(photos)
    for named in (photos, Path("."), Path("../trip/")):
        assert folder_for_results(named) == best
    best.mkdir()
    (best / ".DS_Store").touch()
    assert folder_for_results(photos) == best
    (best / "mine.jpg").touch()
    with pytest.raises(ConfigError, match=r"trip-best.* did not write; name a folder with --out"):
        folder_for_results(photos)
    (best / MANIFEST_NAME).touch()
    assert folder_for_results(photos) == best
    with pytest.raises(ConfigError, match="--out is required"):
        folder_for_results(Path("/"))
