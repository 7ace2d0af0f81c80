"""The settings in the manifests, read by the same code as in production."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from models.profiles import ModelsSettings
from orchestrator.cli.parts import MODEL_SERVICES
from orchestrator.config import OrchestratorSettings, PipelineConfig
from services.common.config.layers import Settings
from services.common.config.sections import ModelServiceSettings, SharedSettings, load_section
from services.face.config import FaceSettings
from tests.conftest import ROOT
from ui.settings import UiSettings

SECTIONS: dict[str, type[Settings]] = {
    "shared": SharedSettings,
    "models": ModelsSettings,
    "embedding": ModelServiceSettings,
    "quality": ModelServiceSettings,
    "face": FaceSettings,
    "siamese": ModelServiceSettings,
    "orchestrator": OrchestratorSettings,
    "ui": UiSettings,
}


def load_all(environment: Mapping[str, str], profile: str) -> dict[str, Settings]:
    """Loads all sections with an environment; a wrong or unknown key is an error."""
    folder = ROOT / "configs"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        PipelineConfig(folder, profile)
        return {
            name: load_section(folder, profile, name, section) for name, section in SECTIONS.items()
        }


def image_version() -> str:
    """Returns the version of the images, by default."""
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"^ARG VERSION=(.+)", dockerfile, re.MULTILINE)
    assert found is not None
    return found[1]


def port_of(settings: Mapping[str, Settings], part: str) -> int:
    """Returns the port on which a part listens."""
    section = settings[part]
    assert isinstance(section, ModelServiceSettings | OrchestratorSettings | UiSettings)
    host, port = section.address.rsplit(":", 1)
    assert host == "0.0.0.0"
    return int(port)


def metrics_port_of(settings: Mapping[str, Settings], part: str) -> int | None:
    """Returns the port on which a part serves its metrics."""
    address = getattr(settings[part], "metrics_address", None)
    return int(address.rsplit(":", 1)[1]) if address else None


def called_addresses(settings: Mapping[str, Settings]) -> dict[tuple[str, str], tuple[str, int]]:
    """Returns the host and port that a part uses to call another, by caller and callee."""
    orchestrator, ui = settings["orchestrator"], settings["ui"]
    targets = {
        ("orchestrator", name): getattr(orchestrator, f"{name}_address") for name in MODEL_SERVICES
    }
    targets["ui", "orchestrator"] = ui.orchestrator_address  # type: ignore[attr-defined]
    found = {}
    for pair, target in targets.items():
        assert target.startswith("dns:///"), "a client must see all replicas"
        host, port = target.removeprefix("dns:///").rsplit(":", 1)
        found[pair] = (host, int(port))
    return found
