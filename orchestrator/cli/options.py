"""Options that several `bestshot` commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.common.errors import ConfigError

LATEST = "latest"
"""Stands for the newest run."""

ConfigDir = Annotated[
    Path | None, typer.Option("--config-dir", help="Folder with services.yaml, pipeline.yaml, ...")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder with the database. Default: the user's data folder."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--orchestrator",
        metavar="ADDRESS",
        help="Address of a running orchestrator, whose runs are used instead of those in the "
        "local data folder. The token and TLS are set under `shared` in services.yaml.",
    ),
]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline",
        help="Do not download networks: use those on this machine, or the built-in models.",
    ),
]
RunId = Annotated[str, typer.Argument(help="ID of a run, or the start of the ID.")]
AlbumName = Annotated[
    str, typer.Option("--album", help="Folder of an album. Default: the album of the newest run.")
]
ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        help="YAML file with the sections `pipeline` and `services`, like those in "
        "configs/profiles, or with keys of pipeline.yaml only. Can be repeated.",
    ),
]
Flags = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one key of pipeline.yaml, e.g. select_best.max_images_per_cluster=3.",
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace files in OUT that bestshot did not write, or that were changed afterwards.",
    ),
]


def _parse_share(text: str) -> float:
    is_percent = text.strip().endswith("%")
    try:
        share = float(text.strip().removesuffix("%")) / (100 if is_percent else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise typer.BadParameter(f"expected a share such as 10% or 0.1 (got {text!r})")
    return share


GoalName = Annotated[
    str | None,
    typer.Option(
        "--goal",
        metavar="GOAL",
        help="moments: the best of each moment (the default). one_per_moment: only the best of "
        "each. all_but_failures: everything except blurred, poor, rejected and copied photos. "
        "everybody: like moments, plus at least one good photo of each person; requires "
        "people.enabled.",
    ),
]
GoalCount = Annotated[
    int | None,
    typer.Option("--count", min=1, help="Pick this many photos, spread over moments and time."),
]
GoalShare = Annotated[
    float | None,
    typer.Option(
        "--share",
        parser=_parse_share,
        metavar="SHARE",
        help="Pick this share of the photos, such as 10% or 0.1, spread in the same way.",
    ),
]


def check_places(orchestrator: str | None, data: Path | None) -> None:
    """Checks that a data folder and an orchestrator's address are not both given."""
    if orchestrator is not None and data is not None:
        raise ConfigError(
            "--data cannot be combined with --orchestrator, which has its own data folder"
        )


def goal_flags(goal: str | None, count: int | None, share: float | None) -> list[str]:
    """Returns the settings for `--goal`, `--count` and `--share`; only one can be given."""
    given = {"--goal": goal, "--count": count, "--share": share}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(names)} cannot be combined; choose one goal")
    if count is not None:
        return ["select_best.goal.pick=count", f"select_best.goal.count={count}"]
    if share is not None:
        return ["select_best.goal.pick=share", f"select_best.goal.share={share}"]
    return [f"select_best.goal.pick={goal}"] if goal is not None else []
