"""The page when something is missing or fails, and what it must never reveal."""

from __future__ import annotations

import base64
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from orchestrator.cli.supervisor import Supervisor
from tests.browser.conftest import PHONE, System, make_shots, open_tab, running_system
from tests.conftest import draw_picture
from tests.integration.command import bestshot
from tests.waiting import http_get, wait_until
from ui.templating import render

Shoot = Callable[[Page, str], None]
PHOTO_COUNT = 16
SLOWLY = {
    "BESTSHOT_SERVICES__ORCHESTRATOR__BATCH_COUNT": "1",
    "BESTSHOT_SERVICES__ORCHESTRATOR__CONCURRENT_BATCHES": "1",
    "BESTSHOT_SERVICES__QUALITY__PREFERRED_BATCH_COUNT": "64",
    "BESTSHOT_SERVICES__QUALITY__MAX_QUEUE_DELAY_MS": "400",
}
"""The quality service waits for pictures that never arrive, without using the processor."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running bestshot whose runs take long enough for a test to interfere."""
    with running_system(tmp_path_factory.mktemp("slow"), SLOWLY) as slow:
        yield slow


def make_album(page: Page, folder: Path) -> None:
    """Creates the first album, from a folder, once the page has loaded."""
    expect(page.get_by_text("No albums yet")).to_be_visible()
    page.get_by_label("Folder of photos").fill(str(folder))
    page.get_by_role("button", name="Create album from folder").click()
    expect(page.locator(".album-card")).to_have_count(1)
    chosen = page.get_by_role("combobox", name="Album", exact=True).locator("option:checked")
    expect(chosen).to_have_text(folder.name)


@contextmanager
def serving_ui(folder: Path, *settings: str) -> Iterator[tuple[str, Supervisor]]:
    """Runs only the UI; yields its URL and its supervisor."""
    supervisor = Supervisor(folder, [])
    flags = [part for setting in settings for part in ("--set", setting)]
    try:
        supervisor.start("ui", ["--address", "127.0.0.1:0", *flags])
        yield f"http://{supervisor.wait_for_address('ui')}/", supervisor
    finally:
        supervisor.stop()


@pytest.fixture
def ui_alone(tmp_path: Path) -> Iterator[str]:
    """The UI without an orchestrator."""
    with serving_ui(tmp_path / "logs", "orchestrator_address=127.0.0.1:9") as (url, _):
        yield url


def test_every_tab_reports_an_orchestrator_that_is_down(
    page: Page, ui_alone: str, shoot: Shoot
) -> None:
    page.goto(ui_alone)
    told = page.get_by_text("The orchestrator at 127.0.0.1:9 is not responding.")
    expect(told.first).to_be_visible()
    expect(page.get_by_text("bestshot up").first).to_be_visible()
    shoot(page, "orchestrator-down")
    open_tab(page, "Models")
    expect(told.locator("visible=true")).to_have_count(2)
    open_tab(page, "Run")
    page.get_by_role("button", name="Start run").click()
    expect(page.get_by_text("Choose an album first")).to_be_visible()
    open_tab(page, "View Results")
    expect(page.get_by_text("No results yet").first).to_be_visible()
    assert http_get(f"{ui_alone}photos/x/320/y.jpg").status_code == 503
    assert http_get(f"{ui_alone}downloads/x/csv").status_code == 503
    assert http_get(f"{ui_alone}healthz").json() == {"status": "ok"}


MEASURE_BADGE_AND_LINKS = """([bar, badge]) => {
    document.querySelector(".bar").outerHTML = bar;
    document.querySelector(".top > :last-child").insertAdjacentHTML("beforeend", badge);
    const badges = [...document.querySelectorAll(".models-badge summary")].slice(-1);
    const links = document.querySelectorAll(".bar a.cull");
    return [...badges, ...links].map((one) => one.getBoundingClientRect().toJSON());
}"""
"""In one call, because the page replaces its bar whenever an answer arrives."""


def test_on_a_phone_the_badge_covers_none_of_three_links(page: Page, ui_alone: str) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(ui_alone)
    expect(page.get_by_text("is not responding").first).to_be_visible()
    urls = {"people_url": "/people", "grid_url": "/grid", "cull_url": "/cull"}
    one = {"albums": [("Trip", "a")], "runs": [("Today", "r")], "album_id": "a", "run_id": "r"}
    bar = render("bar", **urls, **one, is_loaded=True)
    badge = render("badge", heuristics=["quality"], fallbacks=[])
    shown, *links = page.evaluate(MEASURE_BADGE_AND_LINKS, [bar, badge])
    assert len(links) == 3
    for link in links:
        apart = (
            shown["x"] + shown["width"] <= link["x"] or link["x"] + link["width"] <= shown["x"],
            shown["y"] + shown["height"] <= link["y"] or link["y"] + link["height"] <= shown["y"],
        )
        assert any(apart), (link, shown)


@contextmanager
def without_service(name: str, base: Path) -> Iterator[tuple[str, str]]:
    """Everything except one model service; yields the addresses of UI and orchestrator."""
    supervisor = Supervisor(base / "logs", [])
    services = [part for part in ("embedding", "quality", "face", "siamese") if part != name]
    arguments = ["--address", "127.0.0.1:0", "--data", str(base / "data")]
    arguments += ["--set", f"allowed_roots={[str(base)]}", "--set", f"{name}_address=127.0.0.1:9"]
    try:
        for part in services:
            supervisor.start(part, ["--address", "127.0.0.1:0"])
        for part in services:
            arguments += ["--set", f"{part}_address={supervisor.wait_for_address(part)}"]
        supervisor.start("orchestrator", arguments)
        address = supervisor.wait_for_address("orchestrator")
        ui_arguments = ["--address", "127.0.0.1:0", "--set", f"orchestrator_address={address}"]
        supervisor.start("ui", ui_arguments)
        yield f"http://{supervisor.wait_for_address('ui')}/", address
    finally:
        supervisor.stop()


def test_a_model_service_that_is_down_is_reported_and_runs_wait(
    page: Page, tmp_path: Path, shoot: Shoot
) -> None:
    photos = tmp_path / "photos"
    make_shots(photos)
    with without_service("face", tmp_path) as (url, _):
        page.goto(url)
        expect(page.get_by_text("The face service is not available.").first).to_be_visible()
        make_album(page, photos)
        open_tab(page, "Run")
        page.get_by_role("button", name="Start run").click()
        expect(page.get_by_text("face service").locator("visible=true").nth(1)).to_be_visible()
        shoot(page, "service-down")
        open_tab(page, "Models")
        expect(page.get_by_text("not available", exact=True)).to_be_visible()


def test_empty_albums_and_failed_runs_say_what_to_do(
    page: Page, system: System, shoot: Shoot
) -> None:
    empty = system.folder / "empty"
    empty.mkdir()
    page.goto(system.url)
    make_album(page, empty)
    expect(page.get_by_text("there are no photos in")).to_be_visible()
    open_tab(page, "Run")
    page.get_by_role("button", name="Start run").click()
    expect(page.locator(".progress.failed")).to_be_visible()
    expect(page.locator(".progress .problem")).to_contain_text("o photos found in")
    shoot(page, "run-failed")
    open_tab(page, "View Results")
    expect(page.locator(".empty").locator("visible=true")).to_contain_text("no results")
    open_tab(page, "Export")
    page.get_by_text("Table (CSV)").locator("visible=true").wait_for()
    run = system.stub.ListRuns(pb.ListRunsRequest(page_size=1)).runs[0]
    answer = http_get(f"{system.url}downloads/{run.id}/csv")
    assert answer.status_code == 409
    assert "completed" in answer.json()["detail"]
    system.stub.DeleteAlbum(pb.DeleteAlbumRequest(album_id=run.album_id))


def test_a_run_is_cancelled_and_resumed_and_another_tab_follows(page: Page, system: System) -> None:
    photos = system.folder / "many"
    photos.mkdir()
    for seed in range(PHOTO_COUNT):
        Image.fromarray(draw_picture(seed)).save(photos / f"{seed}.jpg")
    log = (system.folder / "data" / "logs" / "quality.log").read_text()
    quality = int(re.findall(r"listening on \S+ \(pid (\d+)\)", log)[-1])
    page.goto(system.url)
    make_album(page, photos)
    open_tab(page, "Run")
    second = page.context.new_page()
    second.goto(page.url)
    open_tab(second, "Run")
    page.get_by_role("button", name="Start run").click()
    newest = pb.ListRunsRequest(page_size=1)
    wait_until(
        lambda: any(
            run.state == pb.RUN_STATE_RUNNING and len(run.stages) > 1
            for run in system.stub.ListRuns(newest).runs
        )
    )
    os.kill(quality, signal.SIGSTOP)  # the run cannot end before it is cancelled
    expect(page.locator(".progress.running .stage").nth(1)).to_be_visible()
    expect(second.locator(".progress.running")).to_be_visible()
    second.get_by_role("button", name="Cancel run").click()
    expect(page.locator(".progress.cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Start run")).to_be_enabled()
    run = system.stub.ListRuns(newest).runs[0]
    assert run.state == pb.RUN_STATE_CANCELLED
    os.kill(quality, signal.SIGCONT)
    second.get_by_role("button", name="Resume run").click()
    expect(page.locator(".progress.completed")).to_be_visible()
    expect(page.get_by_role("button", name="Resume run")).to_be_hidden()
    resumed = system.stub.ListRuns(newest).runs[0]
    assert (resumed.id, resumed.state) == (run.id, pb.RUN_STATE_COMPLETED)
    system.stub.DeleteAlbum(pb.DeleteAlbumRequest(album_id=run.album_id))


@pytest.mark.parametrize(
    "path",
    [
        "photos/RUN/320/../../../etc/passwd",
        "photos/RUN/320/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "photos/RUN/320//etc/passwd",
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=../../etc/passwd",
        "file=/etc/passwd",
        "downloads/RUN/../../etc/passwd",
    ],
)
def test_no_file_outside_the_albums_can_be_read(system: System, path: str) -> None:
    answer = http_get(f"{system.url}{path}", follow_redirects=True)
    assert "root:" not in answer.text
    assert answer.status_code in (400, 403, 404)


def test_the_page_forbids_foreign_hosts(system: System) -> None:
    headers = http_get(system.url).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """The UI with a user name and a password."""
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    with serving_ui(tmp_path, "username=ansel", f"password_file={password}") as (url, _):
        yield url


def test_a_password_guards_everything(browser: Browser, guarded: str) -> None:
    for path in ("", "photos/x/320/y", "downloads/x/csv", "config", "gradio_api/info"):
        assert http_get(guarded + path).status_code == 401, path
    wrong = base64.b64encode(b"ansel:wrong").decode()
    for header in ("Basic %%%", f"Basic {wrong}", "Bearer x", "Basic"):
        assert http_get(guarded, headers={"Authorization": header}).status_code == 401
    assert http_get(guarded, auth=("ansel", "correct horse")).status_code == 200
    credentials = {"username": "ansel", "password": "correct horse"}
    with browser.new_context(http_credentials=credentials) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(guarded)
        expect(page.get_by_role("heading", name="bestshot")).to_be_visible()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["username=ansel"], "set both ui.username and ui.password_file"),
        (["username=ansel", "password_file=/nowhere"], "cannot read /nowhere"),
        (["adress=x"], "unknown key 'adress'"),
    ],
)
def test_wrong_settings_stop_the_start_with_one_line(
    flags: list[str], message: str, tmp_path: Path
) -> None:
    command = ["serve", "ui", "--address", "127.0.0.1:0"]
    for flag in flags:
        command += ["--set", flag]
    done = bestshot(command, data=tmp_path)
    assert done.code == 2
    assert message in done.text


def test_a_port_in_use_is_reported_and_sigterm_stops_the_ui(tmp_path: Path) -> None:
    with serving_ui(tmp_path) as (url, supervisor):
        address = url.removeprefix("http://").strip("/")
        done = bestshot(["serve", "ui", "--address", address], data=tmp_path)
        assert done.code == 2
        assert f"cannot listen on {address}" in done.text
        os.kill(supervisor.process_id("ui"), signal.SIGTERM)
        assert supervisor.wait_for_failure() is not None
        assert "exit code 0" in supervisor.last_words("ui")
