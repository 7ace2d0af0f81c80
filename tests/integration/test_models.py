"""`bestshot models`, and services whose model has to be pulled first."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from models.train.checkpoint_recipes import random_network
from tests.conftest import ROOT, draw_picture
from tests.integration.command import Finished, bestshot
from tests.local_server import serving

CONTENT = (ROOT / "models" / "builtin" / "scene-embedding.onnx").read_bytes()


class Models:
    """A config folder whose profile `lite` needs `published`, and an empty models folder."""

    def __init__(self, base: Path) -> None:
        self.configs, self.folder, self.stick = base / "configs", base / "models", base / "stick"
        self.data = base / "data"
        shutil.copytree(ROOT / "configs", self.configs)
        self.stick.mkdir()
        (self.stick / "graph.onnx").write_bytes(CONTENT)
        self.file = self.folder / "published" / "graph.onnx"
        registry = yaml.safe_load((self.configs / "models.yaml").read_text())
        builtin = registry["models"]["builtin-scene-embedding"]
        self.entry = {
            **{key: value for key, value in builtin.items() if key != "files"},
            "origin": "pretrained",
            "downloads": {
                "graph": {
                    "name": "graph.onnx",
                    "sources": [{"url": "https://models.invalid/graph.onnx"}],
                    "size_bytes": len(CONTENT),
                    "sha256": hashlib.sha256(CONTENT).hexdigest(),
                }
            },
        }
        self.registry = registry
        self.write()
        profile = {"description": "", "services": {"embedding": {"model": "published"}}}
        (self.configs / "profiles" / "lite.yaml").write_text(yaml.safe_dump(profile))

    def write(self) -> None:
        self.registry["models"]["published"] = self.entry
        (self.configs / "models.yaml").write_text(yaml.safe_dump(self.registry))

    @property
    def environment(self) -> dict[str, str]:
        return {
            "BESTSHOT_CONFIG_DIR": str(self.configs),
            "BESTSHOT_MODELS_DIR": str(self.folder),
            "BESTSHOT_SERVICES__MODELS__DOWNLOAD": "never",
        }

    def run(self, *arguments: object) -> Finished:
        return bestshot(arguments, data=self.data, changes=self.environment)

    def pull(self) -> Finished:
        return self.run("models", "pull", "published", "--from", self.stick)


@pytest.fixture
def one_photo(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(draw_picture(1, 640, 480)).save(folder / "a.jpg")
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


def test_a_model_is_missing_then_pulled_then_damaged_then_pulled_again(models: Models) -> None:
    assert "missing" in models.run("models", "list").text
    assert models.pull().code == 0
    assert models.file.read_bytes() == CONTENT
    assert "published: ready" in models.run("models", "verify").text
    assert "published is ready" in models.pull().text
    models.file.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    verified = models.run("models", "verify")
    assert verified.code != 0
    assert "published: damaged" in verified.text
    assert "`bestshot models pull ID`" in verified.text
    assert models.pull().code == 0
    assert models.run("models", "verify").code == 0


def test_a_profile_names_the_models_to_pull(models: Models) -> None:
    finished = models.run("models", "pull", "--profile", "lite", "--from", models.stick)
    assert finished.code == 0
    assert models.file.exists()
    assert "builtin-face ships with bestshot" in finished.text


def test_a_model_without_a_known_sha256_must_be_pinned(models: Models) -> None:
    models.entry["downloads"]["graph"]["sha256"] = None
    models.write()
    assert "bestshot models pin published" in models.pull().text
    refused = models.run("serve", "embedding", "--profile", "lite", "--address", "127.0.0.1:0")
    assert refused.code == 2
    assert "no sha256 is known" in refused.text
    assert models.run("models", "pin", "published").code == 0
    assert "published: ready" in models.run("models", "verify").text
    models.file.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    assert "published: damaged" in models.run("models", "verify").text


def test_info_shows_everything_about_a_model(models: Models) -> None:
    shown = yaml.safe_load(models.run("models", "info", "published").text)
    assert shown["licence"] == "Apache-2.0"
    assert shown["downloads"]["graph"]["size_bytes"] == len(CONTENT)
    assert shown["state"] == "missing"
    models.pull()
    shown = yaml.safe_load(models.run("models", "info", "published").text)
    assert shown["fetched_from"] == {"graph": str(models.stick / "graph.onnx")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull"], "name the models to pull"),
        (["pull", "publishd"], "did you mean 'published'?"),
        (["pull", "published", "--from", "/nowhere"], "/nowhere: no such folder"),
        (["pull", "--profile", "light"], "did you mean 'lite'?"),
        (["pin", "published"], "needs no pin"),
        (["verify", "published"], "damaged: published"),
    ],
)
def test_mistakes_are_reported(models: Models, arguments: list[str], message: str) -> None:
    finished = models.run("models", *arguments)
    assert finished.code == 2
    assert message in finished.text


def test_a_source_that_cannot_be_reached_is_named(models: Models) -> None:
    finished = models.run("models", "pull", "published")
    assert finished.code == 1
    assert "https://models.invalid/graph.onnx: " in finished.text


def test_a_run_without_the_model_says_how_to_get_it(models: Models, one_photo: Path) -> None:
    out = models.data.parent / "out"
    finished = models.run("curate", one_photo, "--out", out, "--profile", "lite")
    assert finished.code == 2
    assert "the profile lite needs published: not on this machine" in finished.text
    assert "`bestshot models pull --profile lite`" in finished.text
    served = models.run("serve", "embedding", "--profile", "lite", "--address", "127.0.0.1:0")
    assert served.code == 2
    assert "`bestshot models pull published` to fetch it" in served.text
    assert "`bestshot models pull --profile lite`" in served.text


def test_a_builtin_replacement_is_reported_everywhere(models: Models, one_photo: Path) -> None:
    profile = models.configs / "profiles" / "lite.yaml"
    wanted = {"model": "published", "fallback": "builtin"}
    profile.write_text(yaml.safe_dump({"description": "", "services": {"embedding": wanted}}))
    out = models.data.parent / "out"
    curated = models.run("curate", one_photo, "--out", out, "--profile", "lite")
    assert curated.code == 0
    told = "uses builtin-scene-embedding: the files of published are missing."
    assert f"Note: The embedding service {told}" in curated.text
    log = (out / "logs" / "embedding.log").read_text()
    assert "using the built-in model instead" in log
    assert (
        "builtin-scene-embedding was used instead of published" in (out / "index.html").read_text()
    )
    shown = models.run("show")
    assert "used instead of published" in shown.text


def test_a_checkpoint_is_pulled_from_a_server_built_without_pytorch_and_served(
    models: Models, one_photo: Path
) -> None:
    # none of the processes can import PyTorch
    no_torch = models.data.parent / "without"
    no_torch.mkdir()
    (no_torch / "torch.py").write_text('raise ImportError("PyTorch is not installed")')
    download = models.registry["models"]["dinov2-vits14"]["downloads"]["checkpoint"]
    checkpoint = models.stick / download["name"]
    torch.save(random_network("dinov2-vits14").state_dict(), checkpoint)
    download["size_bytes"] = checkpoint.stat().st_size
    download["sha256"] = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    models.write()
    handler = partial(SimpleHTTPRequestHandler, directory=str(models.stick))
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        mirror = f"http://127.0.0.1:{server.server_port}"
        pulled = bestshot(
            ["models", "pull", "dinov2-vits14", "--mirror", mirror],
            data=models.data,
            changes={**models.environment, "PYTHONPATH": str(no_torch)},
        )
    assert pulled.code == 0, pulled.text
    assert "dinov2-vits14: ready" in models.run("models", "verify").text

    profile = models.configs / "profiles" / "lite.yaml"
    services = {"embedding": {"model": "dinov2-vits14"}}
    pipeline = {"cluster_scenes": {"scene_distance": None, "cluster_selection_epsilon": 0.0}}
    content = {"description": "", "services": services, "pipeline": pipeline}
    profile.write_text(yaml.safe_dump(content))
    out = models.data.parent / "out"
    curated = models.run("curate", one_photo, "--out", out, "--profile", "lite")
    assert curated.code == 0, curated.text
    assert json.loads((out / "run.json").read_text())["models"]["embedding"]["id"] == (
        "dinov2-vits14"
    )
    exported = models.folder / "dinov2-vits14" / "dinov2_vits14.onnx"
    weights = exported.read_bytes()
    exported.write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    assert "dinov2-vits14: damaged" in models.run("models", "verify").text


def test_a_new_model_for_a_role_keeps_the_cache_of_other_roles(
    models: Models, one_photo: Path
) -> None:
    models.pull()
    out = models.data.parent / "out"
    assert models.run("curate", one_photo, "--out", out).code == 0
    before = cached_roles(models.data)
    assert models.run("curate", one_photo, "--out", out, "--profile", "lite").code == 0
    after = cached_roles(models.data)
    assert {role: after[role] - before[role] for role in after} == {
        role: int(role in ("embedding", "moments")) for role in after
    }


def cached_roles(data: Path) -> dict[str, int]:
    with sqlite3.connect(data / "bestshot.db") as connection:
        rows = connection.execute("SELECT role, count(*) FROM features GROUP BY role")
        return {str(role): int(count) for role, count in rows}
