"""The `bestshot` command, with its subcommands in the order in which --help lists them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from models.cli import app as models_app
from orchestrator.cli.commands import (
    curate,
    decide,
    decisions,
    diff,
    explain,
    export,
    people,
    reselect,
    runs,
    tune,
    up,
)
from services.common.errors import EXIT_CONFIG, EXIT_FAILED, BestshotError, ConfigError


class _Commands(TyperGroup):
    """All commands. Describes invalid values in our own words; Typer would use pydantic's."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from pydantic import ValidationError

            from services.common.config.problems import describe_problem

            if isinstance(error.__cause__, ValidationError):
                error.message = describe_problem(error.__cause__.errors()[0])
            raise


app = typer.Typer(
    cls=_Commands,
    name="bestshot",
    help="Scores every photo in a folder, groups shots of the same moment, picks the best of each "
    "and explains why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _start(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed_version

        print(f"bestshot {installed_version('bestshot')}")
        raise typer.Exit


for commands in (curate, up, runs, explain, export, reselect, tune, diff):
    app.add_typer(commands.app)
app.add_typer(models_app, name="models")
app.add_typer(decisions.app, name="decisions")
app.add_typer(people.app, name="people")
app.add_typer(decide.app)


def main() -> None:
    """Runs the command; a user error ends it with a message and an exit code."""
    try:
        app()
    except ConfigError as error:
        _fail(error, EXIT_CONFIG)
    except BestshotError as error:
        _fail(error, EXIT_FAILED)
    except UnicodeEncodeError:
        broken = next((one for one in sys.argv if not _is_unicode(one)), None)
        if broken is None:
            raise
        _fail(ConfigError(f"the argument {broken!r} is not valid UTF-8"), EXIT_CONFIG)


def _is_unicode(argument: str) -> bool:
    """Whether the shell's bytes could be decoded; Python keeps others as half surrogate pairs."""
    return argument.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in argument)


def _fail(error: BestshotError, code: int) -> None:
    print(f"error: {error.sentence}", file=sys.stderr)
    raise SystemExit(code) from None
