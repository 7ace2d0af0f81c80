"""Networks that a command fetches before it starts."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli import profile_choice
from orchestrator.cli.curate import Request, curate
from tests.conftest import ROOT, draw_pairs


def test_ctrl_c_during_the_download_promises_no_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(profile_choice, "fetch_missing", interrupted)
    monkeypatch.setenv("BESTSHOT_MODELS_DIR", str(tmp_path / "models"))
    request = Request(
        photos=[draw_pairs(tmp_path / "photos", 1, 32, 24)],
        out=None,
        config_folder=ROOT / "configs",
        data_folder=tmp_path / "data",
        profile="standard",
        config_files=[],
        flags=[],
        copy_selected=False,
        orchestrator=None,
    )
    written = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        curate(request, Console(file=written, width=1000))
    assert (
        "interrupted before any photo was read; downloaded networks are kept" in written.getvalue()
    )
    assert "scores" not in written.getvalue()
