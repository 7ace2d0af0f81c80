"""Generates the tables of configs/README.md from the declared settings.

    python -P -m tests.architecture.settings_table [--check]

A test runs the check, so the page and the code cannot disagree.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from orchestrator.config import PipelineSettings
from services.common.config.describe import SettingDescription, describe
from services.common.config.layers import read_yaml
from tests.conftest import ROOT
from tests.deploy.settings import SECTIONS

PAGE = ROOT / "configs" / "README.md"
COMMAND = "python -P -m tests.architecture.settings_table"
HEAD = ["| key | default | meaning |", "|---|---|---|"]


def render_page(page: str) -> str:
    """Returns the page with up-to-date tables."""
    services = {
        f"{section}.{setting.key}": setting
        for section, settings in SECTIONS.items()
        for setting in describe(settings)
    }
    pipeline = {setting.key: setting for setting in describe(PipelineSettings)}
    for name, declared in (("pipeline.yaml", pipeline), ("services.yaml", services)):
        block = re.compile(rf"(<!-- begin {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        table = "".join(f"{line}\n" for line in [*HEAD, *_rows(name, declared)])
        page, count = block.subn(lambda found, table=table: f"{found[1]}{table}{found[2]}", page)
        assert count == 1, f"{PAGE} needs one block for {name}"
    return page


def _rows(name: str, declared: dict[str, SettingDescription]) -> Iterator[str]:
    """Yields one row per setting; settings with the same description share a row."""
    defaults = read_yaml(ROOT / "configs" / name)
    keys_of: dict[str, list[str]] = {}
    for key, setting in declared.items():
        assert setting.description, f"{key} has no description"
        keys_of.setdefault(setting.description, []).append(key)
    for description, keys in keys_of.items():
        shown = list(dict.fromkeys(_default(defaults, key) for key in keys))
        names = ", ".join(f"`{key}`" for key in keys)
        yield f"| {names} | {', '.join(shown)} | {description} |"


def _default(defaults: dict[str, Any], key: str) -> str:
    value: Any = defaults
    for part in key.split("."):
        value = value[part]
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
    return f"`{text}`"


def main() -> None:
    """Writes the page, or with --check fails if it is out of date."""
    page = PAGE.read_text()
    expected = render_page(page)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(expected)
    elif page != expected:
        raise SystemExit(f"{PAGE.relative_to(ROOT)} is out of date; run: {COMMAND}")


if __name__ == "__main__":
    main()
