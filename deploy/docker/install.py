"""Installs one layer of an image into the virtual environment that runs this script.

    python install.py shared                 # the packages that every component uses
    python install.py GROUP cpu|cuda         # the others for models, orchestrator, ui or all
    python install.py wheels FOLDER          # builds this project's wheels
    python install.py project FOLDER COMPONENT   # installs them, and the component's networks

Layers that components share come first, so that they are downloaded, stored and built once.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

MODEL_SERVICES = ("embedding", "quality", "face", "siamese")
GROUPS = {
    **dict.fromkeys(MODEL_SERVICES, "models"),
    **{name: name for name in ("orchestrator", "ui", "all")},
}
"""The packages of each component. `all` is one image that runs everything."""
EXTRAS = {
    "models": ("tracing",),
    "orchestrator": ("parquet", "postgres", "raw", "tracing"),
    "ui": ("tracing", "ui"),
    "all": ("parquet", "raw", "tracing", "ui"),
}
"""Extras of pyproject.toml that a group needs, in addition to ONNX Runtime."""
CLUSTERING = ("hdbscan", "joblib", "scikit-learn", "scipy", "threadpoolctl")
DATABASE = ("alembic", "mako", "sqlalchemy")
HTTP = ("fastapi", "python-multipart", "starlette", "uvicorn")
NEVER_IMPORTED: dict[str, tuple[str, ...]] = {
    "models": (*CLUSTERING, *DATABASE, *HTTP, "lxml"),
    "orchestrator": (),
    "ui": (*CLUSTERING, *DATABASE, "lxml", "opencv-python-headless", "pillow-heif"),
    "all": (),
}
"""Dependencies of the whole package that a group does not need."""
CONSTRAINTS = ("-c", "constraints.txt", "-c", "deploy/docker/constraints-cuda.txt")


def main() -> None:
    step, *arguments = sys.argv[1:]
    subprocess.run([sys.executable, "-P", "-m", "ensurepip"], check=True, capture_output=True)
    if step == "shared":
        pip("install", *CONSTRAINTS, *shared_requirements())
    elif step in EXTRAS:
        pip("install", *CONSTRAINTS, *group_requirements(step, *arguments))
    elif step == "wheels":
        pip("wheel", "--no-deps", "--wheel-dir", *arguments, "./protos", ".")
    else:
        folder, component = arguments
        pip("install", "--no-deps", "--no-index", *map(str, Path(folder).glob("*.whl")))
        fetch_models(component)
    pip("uninstall", "--yes", "pip")


def shared_requirements() -> list[str]:
    """Returns the dependencies that every group needs."""
    excluded = {name for names in NEVER_IMPORTED.values() for name in names}
    return [*_dependencies(excluded), *_extra("tracing")]


def group_requirements(group: str, accelerator: str) -> list[str]:
    """Returns all requirements of a group, including the shared ones."""
    if accelerator not in ("cpu", "cuda"):
        raise SystemExit(f"build with ACCELERATOR=cpu|cuda, got {accelerator!r}")
    extras = EXTRAS[group]
    if group in ("models", "all"):
        extras = (*extras, "gpu" if accelerator == "cuda" else "cpu")
    needed = _dependencies(set(NEVER_IMPORTED[group]))
    return [*needed, *(line for extra in extras for line in _extra(extra))]


def _dependencies(excluded: set[str]) -> list[str]:
    lines = [*_project("protos")["dependencies"], *_project(".")["dependencies"]]
    names = [re.match(r"[\w.-]+", line)[0] for line in lines]  # type: ignore[index]
    return [
        line
        for name, line in zip(names, lines, strict=True)
        if name not in excluded and not name.startswith("bestshot")
    ]


def _extra(name: str) -> list[str]:
    return list(_project(".")["optional-dependencies"][name])


def _project(folder: str) -> dict:  # type: ignore[type-arg]
    text = (Path(folder) / "pyproject.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["project"])


def fetch_models(component: str) -> None:
    """Pulls and verifies the models that the default profile sets for a component."""
    from models.cli import app
    from models.profiles import models_by_role
    from services.common.config.folders import DEFAULT_PROFILE, config_dir, models_dir
    from services.common.inference.registry import read_registry

    folder, configs = models_dir(), config_dir(None)
    folder.mkdir(parents=True, exist_ok=True)
    found = models_by_role(configs, read_registry(configs).models, DEFAULT_PROFILE)
    for name in MODEL_SERVICES:
        if component in (name, "all"):
            app(["pull", found[name]], standalone_mode=False)


def pip(command: str, *arguments: str) -> None:
    options = ["--disable-pip-version-check"]
    if command != "uninstall":
        options.append("--no-cache-dir")
    if command == "install":
        options.append("--root-user-action=ignore")
    subprocess.run([sys.executable, "-P", "-m", "pip", command, *options, *arguments], check=True)


if __name__ == "__main__":
    main()
