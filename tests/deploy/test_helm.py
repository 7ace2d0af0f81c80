"""The Helm chart renders the same objects as the overlays, which test_kubernetes.py examines."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.deploy.helm import find_helm
from tests.deploy.test_kubernetes import built

CHART = ROOT / "deploy" / "helm" / "bestshot"
Document = dict[str, Any]


def render(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [find_helm(), "template", "bestshot", str(CHART), "--namespace", "bestshot"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


def objects(documents: list[Document]) -> dict[str, Document]:
    """Returns the objects by kind and name, without the namespace, which Helm creates."""
    return {
        f"{one['kind']} {one['metadata']['name']}": one
        for one in documents
        if one and one["kind"] != "Namespace"
    }


@pytest.mark.parametrize("overlay", ["local", "gpu", "production"])
def test_the_chart_renders_what_the_overlay_does(overlay: str) -> None:
    done = render("--values", str(CHART / "ci" / f"{overlay}.yaml"))
    assert done.returncode == 0, done.stderr
    rendered = objects(list(yaml.safe_load_all(done.stdout)))
    expected = objects(built(overlay))
    assert rendered.keys() == expected.keys()
    for name, document in expected.items():
        assert rendered[name] == document, name


def test_the_defaults_are_those_for_one_machine() -> None:
    assert render().stdout == render("--values", str(CHART / "ci" / "local.yaml")).stdout


def test_claims_and_servers_of_your_own_replace_those_of_the_chart() -> None:
    done = render(
        *("--set", "photos.existingClaim=pictures", "--set", "postgresql.enabled=true"),
        *("--set", "postgresql.server=false", "--set", "postgresql.url=postgresql://db/bestshot"),
        *("--set", "settings.BESTSHOT_SERVICES__SHARED__LOG_FORMAT=text"),
    )
    rendered = objects(list(yaml.safe_load_all(done.stdout)))
    assert "PersistentVolumeClaim photos" not in rendered
    assert "StatefulSet postgresql" not in rendered
    volumes = rendered["Deployment orchestrator"]["spec"]["template"]["spec"]["volumes"]
    assert {"claimName": "pictures", "readOnly": True} in [
        volume.get("persistentVolumeClaim") for volume in volumes
    ]
    settings = rendered["ConfigMap settings"]["data"]
    key = "BESTSHOT_SERVICES__ORCHESTRATOR__DATABASE_URL"
    assert settings[key] == "postgresql://db/bestshot"


def test_an_ingress_without_tls_is_refused() -> None:
    done = render("--set", "ingress.enabled=true")
    assert done.returncode != 0
    assert "ingress.enabled needs tls.enabled" in done.stderr


def test_the_chart_can_be_packed(tmp_path: Path) -> None:
    for command in (["lint", "--strict"], ["package", "--destination", str(tmp_path)]):
        done = subprocess.run(
            [find_helm(), *command, str(CHART)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"], "the overlays have the same tag"
    assert [path.name for path in tmp_path.iterdir()] == [f"bestshot-{chart['version']}.tgz"]
