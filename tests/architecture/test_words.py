"""Words that a reader stumbles over."""

from __future__ import annotations

import re

from tests.conftest import ROOT

FOLDERS = ("client", "configs", "deploy", "models", "protos", "services", "tests", "ui")
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
