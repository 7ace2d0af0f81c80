"""Prints the output of commands: text for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

PIPE_WIDTH = 10_000
"""Width, in columns, of output that does not go to a terminal: nothing is wrapped or cut."""

AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, with the field names of the JSON API.")
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print no progress or summary, only warnings and errors."),
]
NoHeading = Annotated[bool, typer.Option("--quiet", "-q", help="Leave out the heading.")]
OnlyIds = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the IDs, one per line.")]
OnlyState = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the state.")]
OnlyToken = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the token.")]
OnlySelected = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Print only the paths of the selected photos, one per line."
    ),
]


def open_console(*, is_quiet: bool = False) -> Console:
    """Opens a console that does not wrap text, so that programs can read it line by line."""
    console = Console(soft_wrap=True, highlight=False, quiet=is_quiet)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def print_notes(notes: Iterable[str], console: Console) -> None:
    """Prints the notes of a run."""
    for note in notes:
        console.print(f"Note: {escape(note)}", highlight=False, soft_wrap=True)


def print_report(
    answer: Message | Mapping[str, object],
    heading: str,
    lines: Iterable[str],
    *,
    as_json: bool,
    is_quiet: bool,
) -> None:
    """Prints an answer as JSON, or as lines under a heading, which may contain markup."""
    if as_json:
        print_json(answer) if isinstance(answer, Mapping) else print_message(answer)
        return
    console = open_console()
    if not is_quiet:
        console.print(heading)
    for line in lines:
        console.print(escape(line))


def print_lines(lines: Iterable[object]) -> None:
    """Prints values for other programs, one per line."""
    for line in lines:
        print(line)


def print_json(fields: Mapping[str, object]) -> None:
    """Prints an object whose values are plain values, dataclasses, or lists of these."""
    from pydantic_core import to_json

    print(to_json(fields, indent=2).decode())


def print_message(message: Message) -> None:
    """Prints a message of the API, with the field names of its proto file."""
    from google.protobuf import json_format

    print(json_format.MessageToJson(message, preserving_proto_field_name=True, ensure_ascii=False))
