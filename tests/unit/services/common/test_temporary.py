from __future__ import annotations

import tempfile

import pytest

from services.common.errors import ConfigError
from services.common.temporary import temporary_file, temporary_folder


def test_the_error_without_a_temporary_folder_names_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(ConfigError, match="set TMPDIR to a writable folder"):
        temporary_file()
    with (
        pytest.raises(ConfigError, match="set TMPDIR to a writable folder"),
        temporary_folder("bestshot-"),
    ):
        pass
