from __future__ import annotations

from orchestrator.config import PipelineSettings
from services.common.config.describe import describe
from tests.architecture.settings_table import COMMAND, PAGE, render_page
from tests.deploy.settings import SECTIONS


def test_the_tables_of_the_settings_are_up_to_date() -> None:
    page = PAGE.read_text()
    assert render_page(page) == page, f"run: {COMMAND}"


def test_every_declared_setting_is_in_the_tables() -> None:
    page = PAGE.read_text()
    keys = [setting.key for setting in describe(PipelineSettings)]
    keys += [
        f"{name}.{setting.key}" for name, part in SECTIONS.items() for setting in describe(part)
    ]
    assert len(keys) > 100
    for key in keys:
        assert f"`{key}`" in page, key


def test_a_changed_description_makes_the_tables_stale() -> None:
    page = PAGE.read_text()
    stale = page.replace("neighbourhood radius", "radius", 1)
    assert stale != page
    assert render_page(stale) == page
