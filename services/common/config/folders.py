"""Where settings and models are, and which profile is used.

Imports neither pydantic nor YAML, so that `bestshot --help` responds at once.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from services.common.errors import ConfigError

CONFIG_DIR_VARIABLE = "BESTSHOT_CONFIG_DIR"
DATA_DIR_VARIABLE = "BESTSHOT_DATA_DIR"
MODELS_DIR_VARIABLE = "BESTSHOT_MODELS_DIR"
PROFILE_VARIABLE = "BESTSHOT_PROFILE"
DEFAULT_PROFILE = "standard"
BUILTIN_PROFILE = "builtin"
"""The profile that needs no download."""
SHIPPED_CONFIGS = Path(__file__).resolve().parents[3] / "configs"
MODEL_SERVICES = ("embedding", "quality", "face", "siamese")


def config_dir(override: Path | None) -> Path:
    """Finds the folder of the YAML files: flag, then BESTSHOT_CONFIG_DIR, then the built-in one."""
    if override is None and (named := os.environ.get(CONFIG_DIR_VARIABLE)):
        override = Path(named)
    folder = override or SHIPPED_CONFIGS
    if not folder.is_dir():
        raise ConfigError(f"the config folder {folder} does not exist")
    return folder


def models_dir() -> Path:
    """Finds the folder of pulled models: BESTSHOT_MODELS_DIR, or the platform's data folder."""
    named = os.environ.get(MODELS_DIR_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return platformdirs.user_data_path("bestshot", appauthor=False) / "models"


def data_dir() -> Path:
    """Finds the data folder: BESTSHOT_DATA_DIR, else the platform's."""
    named = os.environ.get(DATA_DIR_VARIABLE)
    return Path(named) if named else platformdirs.user_data_path("bestshot", appauthor=False)


def user_profiles_dir() -> Path:
    """Finds the folder of the profiles that the user keeps."""
    return data_dir() / "profiles"


def profile_of_environment() -> str | None:
    """Returns the profile that BESTSHOT_PROFILE names; None if it is not set."""
    return os.environ.get(PROFILE_VARIABLE) or None


def default_profile() -> str:
    """Returns the profile to use without --profile: BESTSHOT_PROFILE or `standard`."""
    return profile_of_environment() or DEFAULT_PROFILE
