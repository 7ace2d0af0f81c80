"""Chooses the profile for the parts of a command; fetches its networks on first use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from models.cli import PullBars
from models.profiles import (
    DownloadPolicy,
    MissingModels,
    ModelsSettings,
    fetch_missing,
    find_missing,
)
from orchestrator.cli.parts import MODEL_SERVICES
from services.common.config.folders import (
    BUILTIN_PROFILE,
    DEFAULT_PROFILE,
    PROFILE_VARIABLE,
    models_dir,
)
from services.common.config.layers import ConfigFile, check_default_profile, environment_layers
from services.common.config.sections import load_section
from services.common.errors import BestshotError, ConfigError, UnavailableError


def choose_profile(
    configs: Path,
    files: Sequence[ConfigFile],
    named: str | None,
    *,
    is_offline: bool,
    console: Console,
) -> str:
    """Makes the models of a profile available, and returns its name.

    If the user names neither a profile nor a model, and the networks of `standard` are unavailable,
    `builtin` is used instead, with a warning on the console.

    Args:
        configs: Config folder.
        files: Files of --config.
        named: The profile named by the user, if any.
        is_offline: Whether the command line forbids fetching; the settings may forbid it too.
        console: Shows the progress.

    Raises:
        BestshotError: A setting is invalid, or the models that the user names are unavailable.
    """
    if named is None:
        check_default_profile(configs, DEFAULT_PROFILE)
    profile = named or DEFAULT_PROFILE
    layers = [file.section("services", "models") for file in files]
    settings = load_section(configs, profile, "models", ModelsSettings, layers)
    policy: DownloadPolicy = "never" if is_offline else settings.download
    missing = find_missing(configs, models_dir(), profile, files)
    if not missing:
        return profile
    try:
        _fetch(missing, policy, console)
    except (ConfigError, UnavailableError) as error:
        if named or _names_models(files):
            raise
        _warn(error, console)
        return BUILTIN_PROFILE
    return profile


def _fetch(missing: MissingModels, policy: DownloadPolicy, console: Console) -> None:
    if policy == "never":
        fetch_missing(models_dir(), missing, policy, PullBars(console))
        return
    console.print(
        f"downloading the networks of the `{missing.profile}` profile to {models_dir()} "
        f"({missing.size_bytes / 1e6:.0f} MB, first use only)",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    try:
        with PullBars(console) as bars:
            fetch_missing(models_dir(), missing, policy, bars)
    except KeyboardInterrupt:
        console.print(
            "interrupted before any photo was read; downloaded networks are kept: run the same "
            "command again to download the rest"
        )
        raise


def _names_models(files: Sequence[ConfigFile]) -> bool:
    """Whether a --config file or an environment variable sets a model."""
    return any(
        "model" in layer.data
        for role in MODEL_SERVICES
        for layer in (
            *environment_layers("SERVICES", (role,)),
            *(file.section("services", role) for file in files),
        )
    )


def _warn(error: BestshotError, console: Console) -> None:
    console.print(
        f"[bold yellow]WARNING: using the `{BUILTIN_PROFILE}` profile, because the more accurate "
        f"networks of the `{DEFAULT_PROFILE}` profile are not available[/bold yellow]\n"
        f"{escape(error.message)}\n"
        f"To use `{BUILTIN_PROFILE}` without this warning, set {PROFILE_VARIABLE}="
        f"{BUILTIN_PROFILE}; --offline skips the download",
        highlight=False,
        soft_wrap=True,
    )
