"""Adds pages from elsewhere in the repository to the site, and fills in the generated ones.

MkDocs calls the functions named `on_...`. Links in all pages lead to files in the repository, where
they work too; here they become links within the site.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
from reference import GENERATORS

ROOT = Path(__file__).parents[2]
INCLUDED = {
    "ui/README.md": "guides/web-ui.md",
    "configs/README.md": "reference/settings.md",
    "protos/README.md": "reference/protocols.md",
    "client/README.md": "reference/client-library.md",
    "orchestrator/metadata/README.md": "reference/metadata.md",
    "models/README.md": "models/index.md",
    "services/embedding/README.md": "models/embedding.md",
    "services/quality/README.md": "models/quality.md",
    "services/face/README.md": "models/face.md",
    "services/siamese/README.md": "models/siamese.md",
    "deploy/README.md": "operations/deployment.md",
    "tests/accuracy/README.md": "measurements/accuracy.md",
    "tests/benchmarks/README.md": "measurements/speed.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "CODE_OF_CONDUCT.md": "project/code-of-conduct.md",
    "THIRD_PARTY_LICENCES.md": "project/third-party-licences.md",
}
"""Pages outside docs/, and their places in the site."""
PICTURES = ("ui/screenshots",)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
LIST_OR_TABLE = re.compile(r"\s*([-*] |\d+\. |\|)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and pictures from outside docs/."""
    for source, place in INCLUDED.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text()))
    for folder in PICTURES:
        for picture in sorted((ROOT / folder).iterdir()):
            place = f"pictures/{picture.name}"
            files.append(File.generated(config, place, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fills in what is generated, and adapts the text to the site."""
    source = source_of(page.file.src_uri)
    for marker, generate in GENERATORS.items():
        line = f"<!-- generated: {marker} -->"
        if line in markdown:
            markdown = markdown.replace(line, generate())
    return adapt(markdown, source)


def source_of(place: str) -> str:
    """Returns the path, in the repository, of a page in the site."""
    sources = {place: source for source, place in INCLUDED.items()}
    return sources.get(place, f"docs/{place}")


def place_of(source: str) -> str | None:
    """Returns the place in the site for a file in the repository; None if it is not in the site."""
    if source in INCLUDED:
        return INCLUDED[source]
    if source == "README.md":
        return "index.md"
    folder, name = os.path.split(source)
    if folder in PICTURES:
        return f"pictures/{name}"
    return source.removeprefix("docs/") if source.startswith("docs/") else None


def adapt(markdown: str, source: str) -> str:
    """Adapts everything outside fenced blocks: links, and the blank lines that Markdown needs."""
    parts = FENCE.split(markdown)
    return "".join(
        part if part.startswith("```") else separate(rewrite_links(part, source)) for part in parts
    )


def rewrite_links(text: str, source: str) -> str:
    """Turns links to files of the repository into links within the site, or into their paths."""

    def rewrite(link: re.Match[str]) -> str:
        kind, label, target = link.groups()
        path, _, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return link[0]
        found = os.path.normpath(os.path.join(os.path.dirname(source), path))
        place = place_of(found)
        if place is None:
            return f"`{found}`" if label.strip("`") in (found, path) else f"{label} (`{found}`)"
        here = os.path.dirname(place_of(source) or "")
        relative = os.path.relpath(place, here or ".")
        return f"{kind}[{label}]({relative}{'#' if anchor else ''}{anchor})"

    return LINK.sub(rewrite, text)


def separate(text: str) -> str:
    """Puts a blank line before each list and table, which the site's Markdown requires."""
    lines: list[str] = []
    for line in text.split("\n"):
        before = lines[-1] if lines else ""
        starts = LIST_OR_TABLE.match(line)
        is_after_text = before.strip() and not before.startswith((" ", "\t"))
        if starts and is_after_text and not LIST_OR_TABLE.match(before):
            lines.append("")
        lines.append(line)
    return "\n".join(lines)
