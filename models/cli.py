"""`bestshot models`: list, pull, verify, pin and describe the models of the registry.

Slow imports are inside functions, so that `bestshot --help` answers at once.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from orchestrator.cli.output import (
    AsJson,
    OnlyIds,
    OnlyState,
    Quiet,
    open_console,
    print_json,
    print_lines,
)
from services.common.config.folders import config_dir, models_dir
from services.common.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from models.pull import Location
    from services.common.inference.registry import ModelEntry

app = typer.Typer(no_args_is_help=True, help="List, pull, verify and pin models.")

ConfigDir = Annotated[
    Path | None, typer.Option("--config-dir", help="Folder with models.yaml, services.yaml, ...")
]
Models = Annotated[list[str] | None, typer.Argument(help="IDs of models.")]


@dataclass(frozen=True)
class ListedModel:
    """A row of `bestshot models list`; the size counts downloads only."""

    id: str
    role: str
    origin: str
    licence: str
    size_bytes: int
    state: str


class Precision(StrEnum):
    """Precision of an exported graph."""

    FP32 = "fp32"
    FP16 = "fp16"


@app.command("list")
def list_models(
    config_dir_: ConfigDir = None, as_json: AsJson = False, quiet: OnlyIds = False
) -> None:
    """List all models, and show which of them are on this machine."""
    from services.common.inference.registry import read_registry

    models = read_registry(config_dir(config_dir_)).models
    if quiet and not as_json:
        print_lines(models)
        return
    rows = [_row(models, model_id) for model_id in models]
    if as_json:
        print_json({"models": rows})
        return
    table = Table(Column("Model", no_wrap=True), "Role", "Origin", "Licence", "MB", "State")
    for row in rows:
        size = f"{row.size_bytes / 1e6:.1f}" if row.size_bytes else ""
        table.add_row(row.id, row.role, row.origin, escape(row.licence), size, row.state)
    open_console().print(table)


def _row(models: Mapping[str, ModelEntry], model_id: str) -> ListedModel:
    """Describes a model; its size includes the models that it is made of."""
    from models.state import state_of
    from services.common.inference.registry import with_parts

    entry = models[model_id]
    parts = [models[part] for part in with_parts(models, model_id)]
    return ListedModel(
        id=model_id,
        role=entry.role.value,
        origin=entry.origin.value,
        licence=entry.licence,
        size_bytes=sum(file.size_bytes or 0 for part in parts for file in part.downloads.values()),
        state=state_of(models_dir(), models, model_id).value,
    )


@app.command()
def info(
    model: Annotated[str, typer.Argument(help="ID of a model.")],
    config_dir_: ConfigDir = None,
    as_json: AsJson = False,
    quiet: OnlyState = False,
) -> None:
    """Show everything about a model."""
    import yaml

    from models.state import state_of
    from services.common.inference.registry import entry_in, file_digest, read_registry, read_source

    configs, folder = config_dir(config_dir_), models_dir()
    models = read_registry(configs).models
    entry = entry_in(models, configs, model)
    shown = {"id": model, **entry.model_dump(mode="json", exclude_none=True)}
    shown["state"] = state_of(folder, models, model).value
    if entry.downloads:
        shown["folder"] = str(folder / model)
    here = {key: folder / model / file.installed.name for key, file in entry.downloads.items()}
    fetched = {
        key: read_source(path, file_digest(path)) for key, path in here.items() if path.is_file()
    }
    if fetched:
        shown["fetched_from"] = fetched
    if as_json:
        print_json(shown)
        return
    if quiet:
        print_lines([shown["state"]])
        return
    typer.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100), nl=False)


@app.command()
def pull(
    models: Models = None,
    profile: Annotated[str | None, typer.Option(help="Pull all models in this profile.")] = None,
    from_: Annotated[Path | None, typer.Option("--from", help="Folder with the files.")] = None,
    mirror: Annotated[str | None, typer.Option(help="Base URL of a folder with the files.")] = None,
    config_dir_: ConfigDir = None,
) -> None:
    """Fetch models; files that are already complete are not fetched again."""
    from models.pull import Location, check_requirements
    from models.state import State, own_state
    from services.common.inference.registry import read_registry

    if from_ is not None and mirror is not None:
        raise ConfigError("--from and --mirror cannot be combined")
    folder, configs = models_dir(), config_dir(config_dir_)
    registry = read_registry(configs).models
    console = Console()
    try:
        selected = {
            one: registry[one] for one in _select_models(configs, registry, models, profile)
        }
        states = {one: own_state(folder, one, entry) for one, entry in selected.items()}
        check_requirements(
            {one: entry for one, entry in selected.items() if states[one] is not State.READY}
        )
        for model_id, entry in selected.items():
            if states[model_id] is State.READY:
                where = "ships with bestshot" if entry.files or not entry.downloads else "is ready"
                console.print(f"{model_id} {where}", highlight=False)
                continue
            with PullBars(console) as bars:
                _pull_model(folder, model_id, entry, Location(from_, mirror), bars)
    except KeyboardInterrupt:
        console.print("interrupted; run the same command again to resume")
        raise


@app.command()
def verify(
    models: Models = None,
    config_dir_: ConfigDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check model files against their digests; without IDs, check all pulled models."""
    from models.state import State, state_of
    from services.common.inference.registry import entry_in, read_registry

    folder, configs = models_dir(), config_dir(config_dir_)
    registry = read_registry(configs).models
    states: dict[str, str] = {}
    damaged = []
    for model_id in models or registry:
        entry_in(registry, configs, model_id)
        state = state_of(folder, registry, model_id)
        if models or state is not State.MISSING:
            states[model_id] = state.value
            if not quiet and not as_json:
                typer.echo(f"{model_id}: {state.value}")
        if state is State.DAMAGED or (models and state is not State.READY):
            damaged.append(model_id)
    if as_json:
        print_json({"states": states})
    if damaged:
        raise ConfigError(
            f"damaged: {', '.join(damaged)}; run `bestshot models pull ID` to fetch a model again"
        )


@app.command()
def pin(
    model: Annotated[str, typer.Argument(help="ID of a model.")], config_dir_: ConfigDir = None
) -> None:
    """Accept your copy of a model's files if no public source confirms their sha256."""
    from services.common.inference.registry import file_digest, find_entry, write_pin

    folder = models_dir()
    entry = find_entry(config_dir(config_dir_), model)
    open_keys = [key for key, file in entry.downloads.items() if file.sha256 is None]
    if not open_keys:
        raise ConfigError(f"{model} needs no pin: models.yaml has the sha256 of every file")
    for key in open_keys:
        path = folder / model / entry.downloads[key].name
        if not path.is_file():
            raise ConfigError(f"{path} is missing; run `bestshot models pull {model}` to fetch it")
        digest = file_digest(path)
        write_pin(folder, model, key, digest)
        typer.echo(f"{path}: {digest}")


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="ID of a PyTorch checkpoint.")],
    precision: Annotated[
        Precision, typer.Option(help="Precision of the graph's weights.")
    ] = Precision.FP32,
    config_dir_: ConfigDir = None,
) -> None:
    """Export a checkpoint with PyTorch, and check the result on real pictures.

    `models pull` does not need PyTorch; use this for heads of a different width or for half
    precision.
    """
    _export(config_dir(config_dir_), model, precision)


def _export(configs: Path, model_id: str, precision: Precision) -> None:
    """Runs the exporter in a separate process, so that this one never imports PyTorch."""
    if importlib.util.find_spec("torch") is None:
        raise ConfigError(
            f"{model_id} is a PyTorch checkpoint, and exporting it needs PyTorch: install "
            f"'bestshot[export]', then run `bestshot models export {model_id}`"
        )
    command = [sys.executable, "-P", "-m", "models.export", model_id]
    options = ["--config-dir", str(configs), "--precision", precision.value]
    code = subprocess.run([*command, *options], check=False).returncode  # noqa: S603
    if code:
        raise typer.Exit(code)


def _select_models(
    configs: Path,
    registry: Mapping[str, ModelEntry],
    models: list[str] | None,
    profile: str | None,
) -> list[str]:
    from models.profiles import expand_parts, models_of_profile
    from services.common.inference.registry import entry_in

    if bool(models) == bool(profile):
        raise ConfigError(
            "name the models to pull, or use --profile; `bestshot models list` shows all models"
        )
    if profile:
        return models_of_profile(configs, registry, profile)
    for model_id in models or []:
        entry_in(registry, configs, model_id)
    return [part for model_id in models or [] for part in expand_parts(registry, model_id)]


class PullBars:
    """Shows the progress of a pull, one bar per file."""

    def __init__(self, console: Console) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TransferSpeedColumn,
        )

        name = TextColumn(
            "{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")
        )
        columns = (name, BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bars = Progress(*columns, console=console)
        self._row: TaskID | None = None

    def __enter__(self) -> PullBars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, name: str, size_bytes: int | None) -> None:
        """Adds the bar of a file."""
        self._row = self._bars.add_task(name, total=size_bytes)

    def advance(self, byte_count: int) -> None:
        """Updates the bar of the newest file."""
        assert self._row is not None
        self._bars.update(self._row, completed=byte_count)

    def note(self, text: str) -> None:
        """Prints a line above the bars."""
        self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _pull_model(
    folder: Path, model_id: str, entry: ModelEntry, location: Location, bars: PullBars
) -> None:
    from models.pull import fetch_model
    from services.common.inference.registry import expected_digest, file_digest

    for path in fetch_model(folder, model_id, entry, location, bars):
        bars.note(f"{model_id}: {path}")
    if entry.export is not None:
        return  # without a known sha256 it would not be built
    for key, download in entry.downloads.items():
        if expected_digest(folder, model_id, key, download.installed) is None:
            path = folder / model_id / download.name
            bars.note(
                f"no public source confirms the sha256 of {download.name}; this file has "
                f"{file_digest(path)}. To accept it, run `bestshot models pin {model_id}`"
            )
