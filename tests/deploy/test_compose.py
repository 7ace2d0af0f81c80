"""The compose files agree with the specification, with each other and with the code."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import compose_spec
import pytest
import yaml

from orchestrator.cli.parts import MODEL_SERVICES, PARTS
from services.common.config.folders import DEFAULT_PROFILE
from services.common.config.layers import Settings, merge
from tests.conftest import ROOT
from tests.deploy.settings import (
    called_addresses,
    image_version,
    load_all,
    metrics_port_of,
    port_of,
)

COMPOSE = ROOT / "deploy" / "compose"
OVERRIDES = ("gpu", "postgresql", "observability")
STACKS = [chosen for count in range(4) for chosen in combinations(OVERRIDES, count)]
Document = dict[str, Any]


def load(file_name: str) -> Document:
    """Loads a file with every required variable set, and the defaults of the others."""
    text = re.sub(r"\$\{\w+:\?[^}]+\}", "/set/by/the/user", (COMPOSE / file_name).read_text())
    text = re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", text)
    document = yaml.safe_load(text)
    return {key: value for key, value in document.items() if not key.startswith("x-")}


def stack(overrides: tuple[str, ...]) -> Document:
    """Merges overrides into the base, the way compose merges the keys that we use."""
    files = ["compose.yaml", *(f"compose.{name}.yaml" for name in overrides)]
    return merge(load(name) for name in files)


def settings_of(document: Document) -> dict[str, Settings]:
    environment = merge(document["services"][name]["environment"] for name in PARTS)
    is_on_gpu = "--profile=pretrained" in document["services"]["ui"]["command"]
    return load_all(environment, "pretrained" if is_on_gpu else DEFAULT_PROFILE)


@pytest.mark.parametrize("overrides", STACKS)
def test_every_stack_is_valid(overrides: tuple[str, ...]) -> None:
    document = stack(overrides)
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(document)).validate()
    assert set(PARTS) <= set(document["services"])


def test_the_validation_refuses_unknown_keys() -> None:
    document = stack(())
    document["services"]["face"]["imag"] = "x"
    with pytest.raises(ValueError, match="imag"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(document))


@pytest.mark.parametrize("overrides", STACKS)
def test_the_code_reads_every_setting_and_finds_every_part(overrides: tuple[str, ...]) -> None:
    document = stack(overrides)
    settings = settings_of(document)
    for (_, called), (host, port) in called_addresses(settings).items():
        assert host == called
        assert port == port_of(settings, called)
    (published,) = document["services"]["ui"]["ports"]
    assert published == f"127.0.0.1:7860:{port_of(settings, 'ui')}"
    for name in PARTS:
        if name != "ui":
            assert "ports" not in document["services"][name], "only the page is published"


@pytest.mark.parametrize("overrides", STACKS)
def test_images_are_built_by_the_dockerfile(overrides: tuple[str, ...]) -> None:
    version = image_version()
    document = stack(overrides)
    for name in PARTS:
        service = document["services"][name]
        on_gpu = "gpu" in overrides and name in MODEL_SERVICES
        assert service["image"] == f"bestshot-{name}:{version}{'-cuda' if on_gpu else ''}"
        wanted = {"COMPONENT": name, **({"ACCELERATOR": "cuda"} if on_gpu else {})}
        assert service["build"]["args"] == wanted
        assert (COMPOSE / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("overrides", STACKS)
def test_containers_are_confined_and_wait_for_their_dependencies(
    overrides: tuple[str, ...],
) -> None:
    document = stack(overrides)
    for name, service in document["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    needed = document["services"]["orchestrator"]["depends_on"]
    wanted = {*MODEL_SERVICES, *(["postgresql"] if "postgresql" in overrides else [])}
    assert needed == {name: {"condition": "service_healthy"} for name in wanted}
    assert document["networks"]["parts"]["internal"] is True


def test_prometheus_scrapes_the_metrics_address_of_every_part() -> None:
    settings = settings_of(stack(()))
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yaml").read_text())
    found = {
        config["job_name"]: (source["names"], source["port"])
        for config in scraped["scrape_configs"]
        for source in config["dns_sd_configs"]
    }
    parts = (*MODEL_SERVICES, "orchestrator")
    assert found == {name: ([name], metrics_port_of(settings, name)) for name in parts}


@pytest.mark.parametrize("override", ["postgresql", "observability"])
def test_passwords_come_from_files(override: str) -> None:
    document = stack((override,))
    assert all(set(secret) == {"file"} for secret in document["secrets"].values())
    for service in document["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert name.endswith("FILE")
                assert value.removeprefix("/run/secrets/") in service["secrets"]


@pytest.mark.parametrize("overrides", STACKS)
def test_models_come_from_the_image_unless_a_volume_is_mounted(
    overrides: tuple[str, ...],
) -> None:
    for name in MODEL_SERVICES:
        service = stack(overrides)["services"][name]
        if "gpu" in overrides:
            folder = service["environment"]["BESTSHOT_MODELS_DIR"]
            assert service["volumes"] == [f"models:{folder}:ro"]
        else:
            assert "volumes" not in service
            assert "BESTSHOT_MODELS_DIR" not in service["environment"]


def test_one_container_runs_everything_behind_a_password() -> None:
    document = load("nas.yaml")
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(document)).validate()
    service = document["services"]["bestshot"]
    assert (service["image"], service["build"]["args"]["COMPONENT"]) == (
        f"bestshot-all:{image_version()}",
        "all",
    )
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "command" not in service, "nothing is reachable without the password"
    settings = load_all(service["environment"], DEFAULT_PROFILE)
    assert service["ports"] == [f"7860:{port_of(settings, 'ui')}"]
    ui = settings["ui"]
    assert ui.username  # type: ignore[attr-defined]
    secret = service["environment"]["BESTSHOT_SERVICES__UI__PASSWORD_FILE"]
    assert secret.removeprefix("/run/secrets/") in document["secrets"]


def test_exports_and_photos_are_in_folders_that_bestshot_may_use() -> None:
    for file_name, name in (("compose.yaml", "orchestrator"), ("nas.yaml", "bestshot")):
        service = load(file_name)["services"][name]
        roots = service["environment"]["BESTSHOT_SERVICES__ORCHESTRATOR__ALLOWED_ROOTS"]
        assert yaml.safe_load(roots) == ["/photos", "/exports"]
        mounts = {
            mount["target"] if isinstance(mount, dict) else mount.split(":")[1]
            for mount in service["volumes"]
        }
        assert mounts == {"/photos", "/exports", "/data"}


def test_every_variable_is_in_the_example() -> None:
    example = (COMPOSE / ".env.example").read_text()
    listed = set(re.findall(r"^#?(\w+)=", example, re.MULTILINE))
    used = {
        name
        for file_name in ("compose.yaml", "nas.yaml")
        for name in re.findall(r"\$\{(\w+)", (COMPOSE / file_name).read_text())
    }
    assert used == listed


def test_the_release_builds_every_image_that_a_compose_file_names() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    matrix = workflow["jobs"]["images"]["strategy"]["matrix"]
    built = {(component, "") for component in matrix["component"]}
    built |= {(one["component"], "-cuda") for one in matrix["include"]}
    texts = [path.read_text() for path in COMPOSE.glob("*.yaml")]
    pattern = re.compile(rf"image: bestshot-(\w+):{re.escape(image_version())}(\S*)")
    assert {image for text in texts for image in pattern.findall(text)} == built
