"""THIRD_PARTY_LICENCES.md lists every package that bestshot installs."""

from __future__ import annotations

import re
import tomllib

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: wanted for name, wanted in PROJECT["optional-dependencies"].items()
          if name != "dev"}  # fmt: skip


def package_names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", one)[0] for one in requirements} - {"bestshot", "bestshot-protos"}  # type: ignore[index]


def test_every_installed_package_is_listed_with_its_licence() -> None:
    listed = set(re.findall(r"[a-z][\w.-]*\w", (ROOT / "THIRD_PARTY_LICENCES.md").read_text()))
    needed = package_names(PROJECT["dependencies"]).union(*map(package_names, EXTRAS.values()))
    assert needed <= listed, f"missing: {sorted(needed - listed)}"
