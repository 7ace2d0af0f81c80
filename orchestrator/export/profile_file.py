"""Writes profiles that the user saves."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import yaml

from orchestrator.export.files import write_file
from services.common.config.layers import Layer, merge
from services.common.config.strict_yaml import parse_yaml
from services.common.errors import ConfigError, InvalidArgumentError
from services.common.user_files import read_user_text


def write_profile(path: Path, base: Layer, description: str, overrides: dict[str, Any]) -> None:
    """Writes a profile that is based on another one, with changed pipeline settings.

    Args:
        path: The file. If it already has the same content, the call is a repetition, and succeeds.
        base: The profile that the new one is based on, including its models.
        description: Purpose of the profile.
        overrides: Settings that differ from those of `base`.

    Raises:
        InvalidArgumentError: The file exists with different content, cannot be written, or could
            not be read back, because settings files have limits that requests do not have.
    """
    pipeline = merge([base.data.get("pipeline") or {}, overrides])
    sections = {**base.data, "description": description, "pipeline": pipeline}
    text = yaml.safe_dump(sections, sort_keys=False, allow_unicode=True, width=100)
    try:
        parse_yaml(text, path.name)
    except ConfigError as error:
        raise InvalidArgumentError("config_overrides", error.message) from error
    if path.exists():
        if read_user_text(path) == text:
            return
        raise InvalidArgumentError(
            "name", f"there is already a profile {path.stem!r}; choose another name"
        )
    write_file(path, io.BytesIO(text.encode()))
