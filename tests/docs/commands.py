"""The commands in the pages: every line that begins with `$ ` in a block, and all lines of `sh`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(
        page
        for page in sorted(ROOT.glob("[a-z]*/**/*.md"))
        if not {"build", "node_modules"} & set(page.relative_to(ROOT).parts)
        and (page.name == "README.md" or page.is_relative_to(ROOT / "docs"))
    ),
]
"""Pages for readers."""
_BLOCK = re.compile(r"^```(console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=")
_ENDS = (";", "&", "&&", "|", ">", "<")


@dataclass(frozen=True)
class Command:
    """A command in a page.

    Attributes:
        page: The page, relative to the repository.
        line: The command as written, on one line.
        variables: Environment variables set in front of it.
        words: The command's words, without redirections.
    """

    page: str
    line: str
    variables: dict[str, str]
    words: list[str]

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"


def find_commands(page: Path) -> Iterator[Command]:
    """Yields the commands in a page, in order."""
    for language, block in _BLOCK.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            if language == "console" and not line.startswith("$ "):
                continue
            found = line.removeprefix("$ ").strip()
            if found and not found.startswith("#"):
                yield _parse(str(page.relative_to(ROOT)), found)


def _parse(page: str, line: str) -> Command:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    count = next((n for n, word in enumerate(words) if not _ASSIGNMENT.match(word)), len(words))
    variables = dict(word.split("=", 1) for word in words[:count])
    end = next((n for n, word in enumerate(words) if word in _ENDS), len(words))
    return Command(page, line, variables, words[count:end])


COMMANDS = [command for page in PAGES for command in find_commands(page)]
