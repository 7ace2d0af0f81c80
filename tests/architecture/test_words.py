"""Finds odd words that make a reader stumble."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = (
    "client",
    "configs",
    "deploy",
    "docs",
    "models",
    "orchestrator",
    "protos",
    "services",
    "tests",
    "ui",
)
PAGES = ("README.md", "CONTRIBUTING.md")
WORDS = re.compile(
    r"\b(a[n]ew|h[e]ed|h[e]eded|m[e]nd|m[e]nded|p[a]rted|stands? o[t]herwise"
    r"|what b[e]came of|lies t[h]ere|at h[a]nd)\b",
    re.IGNORECASE,
)
SUFFIXES = {".py", ".md", ".proto", ".html", ".j2", ".js", ".sh", ".yaml"}


def test_odd_words_do_not_appear() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in (*FOLDERS, *PAGES)
        for path in [ROOT / folder, *sorted((ROOT / folder).rglob("*"))]
        if path.suffix in SUFFIXES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if WORDS.search(line)
    ]
    assert found == []


PARTICIPLES = re.compile(
    r"_?(a[n]ew|asked|cached|changed|chosen|compared|counted|created|decided|drawn|filled|found|given"
    r"|grouped|h[e]ed|judged|kept|known|listed|loaded|made|measured|m[e]nd|named|p[a]rted|ranked"
    r"|recorded|removed|reserved|selected|served|shared|shown|sorted|stored|taken|tied|wanted"
    r"|written)(_|$)"
)
"""Function names must not begin with these words, which describe a state and not an action."""
BAD_DEFINITION = re.compile(rf"\bdef\s+({PARTICIPLES.pattern})")


def _function_names(path: Path) -> Iterator[str]:
    """Yields functions and methods, except properties and pytest fixtures, which are nouns."""
    source = path.read_text()
    if not BAD_DEFINITION.search(source):  # parsing every file would take seconds
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
            if "property" not in decorators and "fixture" not in decorators:
                yield node.name


@pytest.mark.parametrize("folder", ["client", "models", "orchestrator", "services", "ui"])
def test_functions_are_named_for_what_they_do(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in _function_names(path)
        if PARTICIPLES.match(name)
    ]
    assert found == []
