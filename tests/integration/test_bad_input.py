"""A user's mistakes lead to a clear message and a non-zero exit code, without loss or traceback."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest
from PIL import Image

from orchestrator.export.output_folder import CURATE_LOCK, open_output
from tests.conftest import draw_picture, png_bomb
from tests.integration.command import Curated, bestshot, curate
from tests.integration.up import PARTS


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(draw_picture()).save(folder / "a.jpg")
    return folder


def fails(tmp_path: Path, *arguments: object, changes: dict[str, str] | None = None) -> str:
    finished = bestshot(arguments, data=tmp_path / "data", changes=changes)
    assert finished.code not in (0, -9)
    assert "error: " in finished.text
    return finished.text


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text = fails(tmp_path, "curate", tmp_path / "empty", "--out", tmp_path / "out")
    assert "no photos found in" in text


def test_a_folder_without_photos(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    text = fails(tmp_path, "curate", tmp_path / "texts", "--out", tmp_path / "out")
    assert "no photos found in" in text


def test_a_missing_folder(tmp_path: Path) -> None:
    text = fails(tmp_path, "curate", tmp_path / "none", "--out", tmp_path / "out")
    assert f"{tmp_path / 'none'} does not exist" in text


def test_a_file_in_place_of_a_folder(tmp_path: Path, photos: Path) -> None:
    text = fails(tmp_path, "curate", photos / "a.jpg", "--out", tmp_path / "out")
    assert "is a file, not a folder" in text


def test_an_album_of_broken_files_still_gets_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"")
    found = curate(folder, tmp_path / "out", tmp_path / "data")
    assert found.rows["a.jpg"]["Status"] == "unreadable"


def test_a_pixel_bomb_becomes_a_row(tmp_path: Path, photos: Path) -> None:
    (photos / "bomb.png").write_bytes(png_bomb())
    found = curate(photos, tmp_path / "out", tmp_path / "data")
    assert "30000 x 30000 pixels exceed the limit" in found.rows["bomb.png"]["Error"]
    assert found.rows["a.jpg"]["Status"] == "selected"


def test_an_output_that_is_a_file(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "out").write_text("mine")
    text = fails(tmp_path, "curate", photos, "--out", tmp_path / "out")
    assert "cannot write to" in text
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("name", ["index.html", "selected/a.jpg", "logs/quality.log"])
def test_foreign_files_in_the_output_are_reported_before_anything_starts(
    tmp_path: Path, photos: Path, name: str
) -> None:
    place = tmp_path / "out" / name
    place.parent.mkdir(parents=True)
    os.link(photos / "a.jpg", place)
    content = place.read_bytes()
    text = fails(tmp_path, "curate", photos, "--out", tmp_path / "out", "--copy-selected")
    assert (
        f"not recorded as bestshot's (there is no export manifest; 0.1.0 wrote none): {name}"
        in text
    )
    assert place.read_bytes() == content
    assert not (tmp_path / "data").exists()


def test_a_second_curate_into_the_same_output_is_refused(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    with open_output(out, photos, lock=CURATE_LOCK):
        finished = bestshot(["curate", photos, "--out", out], data=tmp_path / "data")
    assert finished.code == 1, "like a data folder in use"
    assert f"another bestshot command is writing to {out}" in finished.text


def test_an_output_that_contains_the_photos(tmp_path: Path, photos: Path) -> None:
    text = fails(tmp_path, "curate", photos, "--out", tmp_path)
    assert f"{tmp_path} contains the album {photos}" in text
    assert {path.name for path in tmp_path.iterdir()} == {"photos"}


def test_an_output_that_cannot_be_written(tmp_path: Path, photos: Path) -> None:
    out = Path("/proc/bestshot-out") if os.getuid() == 0 else tmp_path / "locked" / "out"
    if os.getuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
    assert "cannot write to" in fails(tmp_path, "curate", photos, "--out", out)


def test_an_output_inside_the_photos(tmp_path: Path, photos: Path) -> None:
    text = fails(tmp_path, "curate", photos, "--out", photos / "out")
    assert "choose a folder outside" in text
    assert not (photos / "out").exists()


def test_a_data_folder_that_cannot_be_written(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "data").write_text("mine")
    text = fails(tmp_path, "curate", photos, "--out", tmp_path / "out")
    assert "cannot write the data folder" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "select_best.siamese.enable=false"), "did you mean 'enabled'"),
        (("--set", "select_best.max_images_per_cluster=none"), "max_images_per_cluster"),
        (("--profile", "referenc"), "did you mean 'reference'"),
        (("--config", "nowhere.yaml"), "cannot read nowhere.yaml"),
        (("--config-dir", "/nowhere"), "the config folder /nowhere does not exist"),
    ],
)
def test_wrong_settings(
    tmp_path: Path, photos: Path, arguments: tuple[str, ...], message: str
) -> None:
    text = fails(tmp_path, "curate", photos, "--out", tmp_path / "out", *arguments)
    assert message in text


def test_an_unknown_key_of_a_service_stops_the_start(tmp_path: Path, photos: Path) -> None:
    from tests.conftest import ROOT

    configs = tmp_path / "configs"
    shutil.copytree(ROOT / "configs", configs)
    services = configs / "services.yaml"
    services.write_text(services.read_text().replace("worker_threads: 2", "worker_thread: 2"))
    text = fails(tmp_path, "curate", photos, "--out", tmp_path / "out", "--config-dir", configs)
    assert "'worker_thread'" in text
    assert str(services) in text
    assert "did you mean 'worker_threads'" in text


@pytest.mark.parametrize(
    ("services", "arguments", "message"),
    [
        ("{face: {worker_thread: 2}}", (), "did you mean 'worker_threads'"),
        ("{face: {address: 'localhost:1'}}", (), "services.face.address in"),
        ("{orchestrator: {database_url: null}}", (), "services.orchestrator.database_url in"),
        ("{ui: {username: me}}", (), "services.ui.username in"),
        ("{face: 3}", (), "face in"),
        ("{face: {worker_threads: 2}}", ("--orchestrator", "127.0.0.1:9"), "services.face in"),
    ],
)
def test_a_service_setting_that_would_have_no_effect_is_refused_and_named(
    tmp_path: Path, photos: Path, services: str, arguments: tuple[str, ...], message: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"services: {services}")
    text = fails(
        tmp_path, "curate", photos, "--out", tmp_path / "out", "--config", file, *arguments
    )
    assert message in text
    assert str(file) in text


def test_up_reads_the_service_settings_of_a_config_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("services: {siamese: {worker_thread: 2}}")
    free = {f"BESTSHOT_SERVICES__{name.upper()}__ADDRESS": "127.0.0.1:0" for name in PARTS[:5]}
    text = fails(tmp_path, "up", "--no-ui", "--config", file, changes=free)
    assert f"'worker_thread' in {file}; did you mean 'worker_threads'" in text


def test_an_unknown_variable(tmp_path: Path, photos: Path) -> None:
    changes = {"BESTSHOT_MIN_SHARPNESS": "0.1"}
    text = fails(tmp_path, "curate", photos, "--out", tmp_path / "out", changes=changes)
    assert "unknown environment variable BESTSHOT_MIN_SHARPNESS" in text


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = fails(tmp_path, "serve", "quality", "--address", address)
    assert f"cannot listen on {address}: the port is in use" in text
    assert "(quality.address)" in text


def test_an_orchestrator_that_does_not_answer(tmp_path: Path, photos: Path) -> None:
    arguments = ("curate", photos, "--out", tmp_path / "out", "--orchestrator", "127.0.0.1:9")
    assert "cannot be reached" in fails(tmp_path, *arguments)


def test_options_that_would_have_no_effect(tmp_path: Path, photos: Path) -> None:
    arguments = ("curate", photos, "--out", tmp_path / "out", "--orchestrator", "127.0.0.1:9")
    assert "--data cannot be combined" in fails(tmp_path, *arguments, "--data", tmp_path)
    assert "leave out --as csv" in fails(
        tmp_path, "export", "--out", tmp_path / "a.csv", "--as", "csv", "--xmp"
    )


def test_an_unknown_part(tmp_path: Path) -> None:
    assert "unknown part 'faces'" in fails(tmp_path, "serve", "faces")


def test_runs_and_show_without_runs(tmp_path: Path) -> None:
    assert "there are no runs" in fails(tmp_path, "runs")
    assert "there are no runs" in fails(tmp_path, "show")


def test_show_of_an_unknown_run(curated: Curated) -> None:
    finished = bestshot(["show", "zzz"], data=curated.data)
    assert finished.code == 1
    assert "there is no run 'zzz'" in finished.text


def test_help_of_every_command(tmp_path: Path) -> None:
    for command in ("demo", "curate", "up", "serve", "runs", "show"):
        finished = bestshot([command, "--help"], data=tmp_path)
        assert finished.code == 0
        assert "Usage: bestshot" in finished.text
