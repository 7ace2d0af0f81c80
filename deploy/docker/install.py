"""Installs a component into the virtual environment that runs this script, without unused packages.

    python install.py dependencies COMPONENT cpu|cuda
    python install.py project COMPONENT cpu|cuda

There are two steps, so that a code change does not install the dependencies again. The second step
also fetches the networks that the component serves by default.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

MODEL_SERVICES = ("embedding", "quality", "face", "siamese")
EXTRAS = {
    **dict.fromkeys(MODEL_SERVICES, ("tracing",)),
    "orchestrator": ("parquet", "postgres", "raw", "tracing"),
    "ui": ("tracing", "ui"),
}
"""Extras of pyproject.toml that a component needs."""
CLUSTERING = ("hdbscan", "joblib", "scikit-learn", "scipy", "threadpoolctl")
DATABASE = ("alembic", "mako", "sqlalchemy")
HTTP = ("fastapi", "starlette", "uvicorn")
NEVER_IMPORTED = {
    **dict.fromkeys(MODEL_SERVICES, (*CLUSTERING, *DATABASE, *HTTP, "lxml")),
    "orchestrator": (),
    "ui": (*CLUSTERING, *DATABASE, "lxml", "opencv-python-headless", "pillow-heif"),
}
"""Packages that the distribution as a whole needs, but a component alone does not."""
CONSTRAINTS = ("-c", "constraints.txt", "-c", "deploy/docker/constraints-cuda.txt")


def main() -> None:
    step, component, accelerator = sys.argv[1:]
    if component not in EXTRAS or accelerator not in ("cpu", "cuda"):
        raise SystemExit(
            f"build with COMPONENT={'|'.join(EXTRAS)} and ACCELERATOR=cpu|cuda, "
            f"got {component!r} and {accelerator!r}"
        )
    if step == "dependencies":
        install_dependencies(component, accelerator)
    else:
        pip("install", "--no-deps", "./protos", ".")
        fetch_models(component)
        pip("uninstall", "--yes", "pip")


def install_dependencies(component: str, accelerator: str) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    protos = tomllib.loads(Path("protos/pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime = ("gpu" if accelerator == "cuda" else "cpu",) if component in MODEL_SERVICES else ()
    optional = project["optional-dependencies"]
    wanted = [*protos["dependencies"], *project["dependencies"]]
    wanted += [line for extra in (*EXTRAS[component], *runtime) for line in optional[extra]]
    pip("install", *CONSTRAINTS, *(line for line in wanted if not line.startswith("bestshot")))
    if unneeded := NEVER_IMPORTED[component]:
        pip("uninstall", "--yes", *unneeded)


def fetch_models(component: str) -> None:
    """Pulls and verifies the model that the default profile sets for a service."""
    from models.cli import app
    from models.profiles import models_by_role
    from services.common.config.folders import DEFAULT_PROFILE, config_dir, models_dir
    from services.common.inference.registry import read_registry

    folder, configs = models_dir(), config_dir(None)
    folder.mkdir(parents=True, exist_ok=True)
    if component in MODEL_SERVICES:
        found = models_by_role(configs, read_registry(configs).models, DEFAULT_PROFILE)
        app(["pull", found[component]], standalone_mode=False)


def pip(command: str, *arguments: str) -> None:
    options = ["--no-cache-dir", "--disable-pip-version-check", "--root-user-action=ignore"]
    known = options if command == "install" else options[1:2]
    subprocess.run([sys.executable, "-P", "-m", "pip", command, *known, *arguments], check=True)


if __name__ == "__main__":
    main()
