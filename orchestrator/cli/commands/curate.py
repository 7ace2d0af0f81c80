"""`bestshot curate` and `demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from orchestrator.cli.options import (
    ConfigDir,
    ConfigFiles,
    Data,
    Flags,
    Force,
    GoalCount,
    GoalName,
    GoalShare,
    Offline,
    check_places,
    goal_flags,
)
from orchestrator.cli.output import Quiet
from orchestrator.data_folder import data_folder
from services.common.config.folders import config_dir, profile_of_environment

app = typer.Typer()

Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Leave out files or folders matching a .gitignore pattern, such as 'screenshots/' or "
        "'*.png'. Can be repeated. Applies in addition to PHOTOS/.bestshotignore.",
    ),
]


@app.command()
def curate(
    photos: Annotated[
        list[Path],
        typer.Argument(
            help="One or more folders of photos, with subfolders. If photos are identical, the "
            "one in the folder listed first is preferred."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results; created if missing. Default: PHOTOS-best, beside the "
            "first folder."
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Profile from configs/profiles. Default: BESTSHOT_PROFILE; otherwise the running "
            "orchestrator's profile; otherwise standard (its networks are downloaded on first "
            "use), or builtin if they are unavailable."
        ),
    ] = None,
    config: ConfigFiles = None,
    set_: Flags = None,
    exclude: Exclude = None,
    goal: GoalName = None,
    count: GoalCount = None,
    share: GoalShare = None,
    copy_selected: Annotated[
        bool, typer.Option("--copy-selected", help="Copy the selected photos to OUT/selected.")
    ] = False,
    force: Force = False,
    offline: Offline = False,
    quiet: Quiet = False,
    orchestrator: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address of a running orchestrator; settings given here override its own. "
            "By default, one is started for this run.",
        ),
    ] = None,
    config_dir_: ConfigDir = None,
    data: Data = None,
) -> None:
    """Score, group and select the photos in one or more folders.

    Writes image_metrics.csv, results.json, run.json and index.html to OUT. A second run computes
    only what is new. All services are started for the run and stopped afterwards.
    """
    from orchestrator.cli import curate as curating

    check_places(orchestrator, data)
    curating.curate(
        curating.Request(
            photos=photos,
            out=out or curating.folder_for_results(photos[0]),
            config_folder=config_dir(config_dir_),
            data_folder=data_folder(data),
            profile=profile or profile_of_environment(),
            config_files=config or [],
            flags=[*(set_ or []), *goal_flags(goal, count, share), *_exclude_flags(exclude)],
            copy_selected=copy_selected,
            orchestrator=orchestrator,
            force=force,
            is_offline=offline,
        ),
        Console(quiet=quiet),
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for photos and results.")] = Path(
        "bestshot-demo"
    ),
    offline: Offline = False,
    quiet: Quiet = False,
    data: Data = None,
) -> None:
    """Curate a small album of real pictures that ship with scikit-learn."""
    from orchestrator.cli import curate as curating
    from orchestrator.cli.demo import make_album

    console = Console(quiet=quiet)
    photos = out / "photos"
    count = make_album(photos)
    console.print(f"wrote {count} photos to {photos}", highlight=False)
    curating.curate(
        curating.Request(
            photos=[photos],
            out=out / "results",
            config_folder=config_dir(None),
            data_folder=data_folder(data),
            profile=profile_of_environment(),
            config_files=[],
            flags=[],
            copy_selected=False,
            orchestrator=None,
            is_offline=offline,
        ),
        console,
    )


def _exclude_flags(patterns: list[str] | None) -> list[str]:
    return [f"find_photos.exclude={json.dumps(patterns)}"] if patterns else []
