"""The structure of the project: required files, their documentation, and agreement among them."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory

from models.profiles import models_of_profile
from orchestrator.cli.parts import MODEL_SERVICES, PARTS
from orchestrator.domain.photo import Reason
from orchestrator.export.download import DownloadFormat
from orchestrator.records import ImageFilter, RunState
from services.common.config.layers import profile_names
from services.common.inference.registry import read_registry
from tests.conftest import ROOT
from tests.docs.commands import PAGES

PROTOS = sorted(
    path
    for package in ("bestshot", "inference")
    for path in (ROOT / "protos" / package).rglob("*.proto")
)
ROOMS = ("__main__", "model", "servicer", "tensors")


@pytest.mark.parametrize("name", MODEL_SERVICES)
def test_every_model_service_has_the_same_modules_and_a_model_card(name: str) -> None:
    folder = ROOT / "services" / name
    for room in ROOMS:
        assert (folder / f"{room}.py").is_file()
    card = (folder / "README.md").read_text()
    for heading in ("Task", "Input", "Output", "Source", "Licence", "Limits"):
        assert f"## {heading}" in card


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.stem)
def test_every_element_of_the_protos_has_a_comment(path: Path) -> None:
    lines = path.read_text().splitlines()
    element = re.compile(
        r"^\s*(package|service|rpc|message|enum|oneof|repeated|optional|map<|"
        r"[\w.]+ \w+ = \d+;|[A-Z_0-9]+ = \d+;)"
    )
    for number, line in enumerate(lines):
        if element.match(line):
            before = next(earlier for earlier in reversed(lines[:number]) if earlier.strip())
            assert before.strip().startswith("//"), f"{path.name}:{number + 1}: {line.strip()}"


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.stem)
def test_the_folder_of_a_proto_matches_its_package(path: Path) -> None:
    package = re.search(r"^package ([\w.]+);", path.read_text(), re.MULTILINE)
    assert package is not None
    assert package[1].split(".") == list(path.relative_to(ROOT / "protos").parts[:-1])
    assert package[1] in (ROOT / "protos" / "README.md").read_text()


def test_domain_codes_match_the_protos() -> None:
    from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

    def names(enum: Any, prefix: str) -> set[str]:
        return {value.name.removeprefix(prefix) for value in enum.DESCRIPTOR.values} - {
            "UNSPECIFIED"
        }

    assert {reason.value for reason in Reason} == names(pb.ReasonCode, "REASON_CODE_")
    assert {state.value for state in RunState} == names(pb.RunState, "RUN_STATE_")
    assert {wanted.value for wanted in ImageFilter} == names(pb.ImageFilter, "IMAGE_FILTER_")
    assert {wanted.name for wanted in DownloadFormat} == names(
        pb.DownloadFormat, "DOWNLOAD_FORMAT_"
    )


def test_none_of_our_modules_is_started_with_the_current_folder_on_its_path() -> None:
    """With just `-m`, Python would execute a yaml.py in a folder of photos."""
    listed = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.splitlines()
    module = r"(services|orchestrator|ui|models|module|\$\{?module)"
    ours = re.compile(rf"""-m["']?,?\s+["']?{module}\b""")
    safe = re.compile(r"""-P["']?,?\s+["']?-m\b""")
    found = 0
    for name in listed:
        path = ROOT / name
        if path == Path(__file__) or path.suffix in (".onnx", ".png") or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if ours.search(line):
                found += 1
                assert safe.search(line), f"{name}:{number}: python -P -m"
    assert found > 5


def test_the_grpcurl_calls_on_the_page_are_in_the_protos() -> None:
    text = (ROOT / "protos" / "README.md").read_text().replace("\\\n", " ")
    calls = re.findall(
        r"^\$ grpcurl .*-d (\"(?:\\.|[^\"])*\"|'[^']*') \S+\s+(\S+)$", text, re.MULTILINE
    )
    assert len(calls) == text.count("$ grpcurl") > 3
    for body, method in calls:
        area = method.split(".")[1]
        importlib.import_module(f"bestshot.{area}.v1.{area}_pb2")
        found = descriptor_pool.Default().FindMethodByName(method.replace("/", "."))
        shown = body[1:-1].replace('\\"', '"').replace("$(base64 -w0 photo.jpg)", "AAAA")
        message = message_factory.GetMessageClass(found.input_type)()
        json_format.Parse(shown, message)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_are_not_broken(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_every_builtin_model_file_is_in_the_registry_and_small() -> None:
    registry = read_registry(ROOT / "configs")
    named = {
        Path(file.path).name for entry in registry.models.values() for file in entry.files.values()
    }
    for path in (ROOT / "models" / "builtin").glob("*.onnx"):
        assert path.name in named
        assert path.stat().st_size < 8_000_000


def test_the_registry_names_sources_that_exist() -> None:
    for entry in read_registry(ROOT / "configs").models.values():
        for source in (entry.source, entry.calibration.source if entry.calibration else None):
            if source and source.endswith(".py"):
                assert (ROOT / source).is_file(), source


def test_the_card_of_every_model_of_a_profile_states_its_licence() -> None:
    """The ids and the licence are in the first two columns of a table."""
    configs = ROOT / "configs"
    registry = read_registry(configs).models
    stated = {}
    for name in MODEL_SERVICES:
        card = (ROOT / "services" / name / "README.md").read_text()
        section = card.partition("## Licence")[2].partition("\n## ")[0]
        for ids, licence in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", section, re.MULTILINE):
            stated.update(dict.fromkeys(re.findall(r"`([\w.-]+)`", ids), licence))
    for profile in profile_names(configs):
        for model_id in models_of_profile(configs, registry, profile):
            assert stated[model_id] == registry[model_id].licence.partition(" ")[0], model_id


def test_exact_versions_of_all_dependencies_are_locked() -> None:
    locked = {
        re.split(r"==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in [
        *project["dependencies"],
        *(one for extra in ("export", "parquet", "ui", "dev") for one in extras[extra]),
    ]:
        name = re.split(r"[\[<>=;]", requirement)[0].strip().lower().replace("_", "-")
        if not name.startswith("bestshot"):
            assert name in locked, name


@pytest.mark.parametrize(
    ("module", "slow"),
    [
        (
            "orchestrator.cli.app",
            "alembic asyncio google.protobuf grpc httpx jinja2 numpy PIL pydantic rich.progress "
            "sqlalchemy yaml",
        ),
        ("orchestrator.cli.curate", "alembic cv2 httpx jinja2 lxml scipy sqlalchemy"),
        ("orchestrator.cli.part_process", "grpc numpy pydantic"),
    ],
)
def test_a_command_imports_no_slow_module_that_it_does_not_use(module: str, slow: str) -> None:
    """`bestshot --help` imports the first of them, and `curate` all."""
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not set(slow.split()) & set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_a_part_imports_only_what_it_uses(name: str) -> None:
    """Services must not load the database or the clustering, and other parts no models."""
    module = f"services.{name}.__main__" if name in MODEL_SERVICES else f"{name}.__main__"
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(done.stdout.split())
    unwanted = {"torch", "pytest"} | (set() if name == "ui" else {"gradio"})
    if name in ("orchestrator", "ui"):
        unwanted |= {"onnxruntime", "cv2"}
    else:
        unwanted |= {"sqlalchemy", "hdbscan", "sklearn", "typer", "rich"}
    assert not loaded & unwanted
