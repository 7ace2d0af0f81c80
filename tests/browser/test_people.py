"""The People view: names, merges, corrections and questions, kept in the log."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from PIL import Image
from playwright.sync_api import Page, expect
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from orchestrator.domain.people.faces import Box, IdentifiedFace
from orchestrator.features import pack_identities
from orchestrator.metrics import RunMetrics
from orchestrator.storage.database import open_database
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.people_store import IDENTITY_ROLE, SqlPeople
from orchestrator.storage.tables import images
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.culling import make_run
from tests.browser.test_grid import GridSystem
from tests.conftest import draw_picture
from tests.integration.parts import Orchestrator, Part

BOX = Box(0.1, 0.1, 0.3, 0.3)
PERSON_COUNT = 4


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridSystem]:
    """Photos of four persons, each of whom resembles one other."""
    base = tmp_path_factory.mktemp("people")
    target = io.BytesIO()
    Image.fromarray(draw_picture(1, 60, 40)).save(target, "JPEG")
    orchestrator = Orchestrator(base / "orchestrator", {}, base)
    (base / "orchestrator" / "data").mkdir(parents=True)
    engine = open_database(base / "orchestrator" / "data")
    made = make_run(engine, base / "album", "album", 4, target.getvalue())
    cache = SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    with engine.connect() as connection:
        digests = connection.execute(select(images.c.content_digest).distinct()).scalars().all()
    vectors = np.eye(PERSON_COUNT, dtype=np.float32)
    for first in range(0, PERSON_COUNT, 2):
        vectors[first + 1, first : first + 2] = 0.38, (1 - 0.38**2) ** 0.5
    for number, digest in enumerate(sorted(digests)):
        face = IdentifiedFace(BOX, 1.0, vectors[number % PERSON_COUNT])
        cache.put({(digest, IDENTITY_ROLE, "m"): pack_identities([face])})
    SqlPeople(engine).use_model("m", 0.4)
    engine.dispose()
    ui = Part("ui", base / "ui", settings={"orchestrator_address": orchestrator.address})
    try:
        orchestrator.start()
        ui.start()
        yield GridSystem(f"http://{ui.address}/", orchestrator, {"album": made}, base)
    finally:
        ui.stop()
        orchestrator.stop()


def names(system: GridSystem) -> list[str]:
    people = system.orchestrator.stub.ListPeople(pb.ListPeopleRequest()).people
    return sorted(person.name for person in people)


def check_accessibility(page: Page) -> None:
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        found = Axe().run(page)
        assert not found.response["violations"], found.generate_report()
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]


def test_people_are_named_merged_corrected_and_erased(page: Page, system: GridSystem) -> None:
    page.goto(system.url)
    page.get_by_role("link", name="People", exact=True).click()
    persons = page.locator(".person")
    expect(persons).to_have_count(PERSON_COUNT)
    covers = page.locator(".person img")
    for cover in covers.all():
        expect(cover).to_have_attribute("src", re.compile("data:image/jpeg"))
        assert cover.evaluate("image => image.decode().then(() => image.naturalWidth)") == 256
    persons.nth(2).hover()
    first = page.get_by_label("Name of an unnamed person").first
    first.fill("Anna")
    first.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Named Anna.")
    # questions do not move the list while the pointer is over it
    page.get_by_role("button", name="Needs your help: 1").click()
    expect(page.get_by_text("Is this Anna? (")).to_be_visible()
    check_accessibility(page)
    star = page.get_by_role("button", name="Important: Anna")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    people = system.orchestrator.stub.ListPeople(pb.ListPeopleRequest()).people
    assert [person.name for person in people if person.is_important] == ["Anna"]
    page.get_by_role("button", name="Undo").click()
    expect(star).to_have_attribute("aria-pressed", "false")
    expect(covers.first).to_have_attribute("src", re.compile("data:image/jpeg"))  # kept
    page.get_by_role("button", name="Yes").click()
    expect(persons).to_have_count(PERSON_COUNT - 1)
    page.get_by_role("button", name="Undo").click()
    expect(persons).to_have_count(PERSON_COUNT)
    page.get_by_role("button", name="Needs your help: 1").click()
    persons.nth(2).drag_to(persons.first)
    expect(persons).to_have_count(PERSON_COUNT - 1)
    assert names(system).count("Anna") == 1
    page.get_by_role("button", name="Undo").click()
    expect(persons).to_have_count(PERSON_COUNT)

    page.get_by_label("Search names").fill("ann")
    expect(persons).to_have_count(1)
    page.get_by_role("link", name="Photos of Anna").click()
    faces = page.locator(".face")
    faces.first.wait_for()
    count = faces.count()
    check_accessibility(page)
    page.get_by_role("button", name="With others").click()
    expect(faces).to_have_count(0)
    page.get_by_role("button", name="All ").click()
    page.get_by_role("button", name="Not a face").first.click()
    expect(faces).to_have_count(count - 1)
    page.go_back()
    expect(persons).to_have_count(1)
    page.get_by_label("Search names").fill("")
    expect(persons).to_have_count(PERSON_COUNT)

    system.open(page, "album")
    anna = page.get_by_role("button", name="Anna")
    anna.press("Enter")
    expect(anna).to_have_attribute("aria-pressed", "true")
    expect(anna).to_be_focused()
    page.route("**/photos/**", lambda route: route.fulfill(status=409))
    page.route(
        "**/people/persons?*", lambda route: route.continue_(url=f"{system.url}people/persons")
    )
    page.goto(f"{system.url}people")
    expect(page.locator(".person").get_by_text("no picture")).to_have_count(PERSON_COUNT)
    page.get_by_role("button", name="Erase…").click()
    page.get_by_role("button", name="Erase", exact=True).click()
    expect(page.get_by_text("bestshot models pull mobilefacenet")).to_be_visible()
    assert names(system) == []
    page.goto(system.url)
    page.get_by_role("link", name="Grid").wait_for()
    assert not page.get_by_role("link", name="People", exact=True).count()
