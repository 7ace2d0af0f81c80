"""Persons through every interface: command, gRPC, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from prometheus_client import CollectorRegistry

from orchestrator.domain.people.faces import Box, IdentifiedFace
from orchestrator.features import pack_identities
from orchestrator.metrics import RunMetrics
from orchestrator.storage.database import open_database
from orchestrator.storage.feature_cache import SqlFeatureCache
from orchestrator.storage.people_store import IDENTITY_ROLE, SqlPeople
from tests.integration.access import copy_data
from tests.integration.command import Curated, bestshot
from tests.integration.parts import orchestrator
from tests.integration.up import free_ports
from tests.waiting import LIMIT_S, http_get

BOX = Box(0.1, 0.1, 0.3, 0.3)
WRITER_COUNT = 8


@dataclass(frozen=True)
class Served:
    """An orchestrator with photos of two persons, and their paths."""

    stub: orchestrator_pb2_grpc.OrchestratorServiceStub
    url: str
    address: str
    data: Path
    run_id: str
    first: list[str]
    second: list[str]

    def people(self, *arguments: str, code: int = 0) -> str:
        return self.run("people", *arguments, code=code)

    def run(self, *arguments: object, code: int = 0) -> str:
        command = [*arguments, "--orchestrator", self.address]
        finished = bestshot(command, data=self.data)
        assert finished.code == code, finished.text
        return finished.text


@pytest.fixture
def served(curated: Curated, tmp_path: Path) -> Iterator[Served]:
    copy_data(curated, tmp_path)
    digests: dict[str, str] = {}
    for path, image in curated.images.items():
        if image["quality"]:
            digests.setdefault(image["content_digest"], path)
    selected = {digest for digest, path in digests.items() if curated.images[path]["is_selected"]}
    chosen = [*sorted(selected), *sorted(digests.keys() - selected)][:5]
    engine = open_database(tmp_path / "data")
    cache = SqlFeatureCache(engine, RunMetrics(CollectorRegistry()))
    for number, digest in enumerate(chosen):
        vector = np.eye(2, dtype=np.float32)[number // 3]
        found = [IdentifiedFace(BOX, 1.0, vector)]
        cache.put({(digest, IDENTITY_ROLE, "m"): pack_identities(found)})
    SqlPeople(engine).use_model("m", 0.4)
    engine.dispose()
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    roots = str([str(curated.photos), str(tmp_path)])
    with orchestrator(
        tmp_path, {}, curated.photos, http_address=address, allowed_roots=roots
    ) as part:
        paths = [digests[digest] for digest in chosen]
        run_id = str(curated.run["id"])
        yield Served(
            part.stub,
            f"http://{address}/api/v1",
            part.address,
            tmp_path / "unused",
            run_id,
            paths[:3],
            paths[3:],
        )


def test_people_can_be_corrected_and_erased_through_every_interface(served: Served) -> None:
    first, second = served.stub.ListPeople(pb.ListPeopleRequest()).people
    assert (first.photo_count, second.photo_count) == (3, 2)
    assert "nobody in this run has a name" in served.people("best")
    served.people("name", first.id[:8], "Ann")
    served.people("name", second.id, "Bob")
    assert "another person is called 'Ann'" in served.people("name", "Bob", "Ann", code=1)
    assert "give a person's name" in served.people("ignore", "", code=2)
    twice = served.people("not", "Ann", served.first[0], served.first[0])
    assert "removed 1 face from Ann" in twice
    served.people("undo")
    assert "no person matches 'Cid'" in served.people("show", "Cid", code=2)
    shown = served.people("show", "Ann").splitlines()
    assert sorted(path.rpartition("/")[2] for path in shown) == sorted(
        path.rpartition("/")[2] for path in served.first
    )
    image = served.stub.GetImage(pb.GetImageRequest(run_id=served.run_id, path=served.first[0]))
    assert image.image.person_names == ["Ann"]
    chunks = served.stub.DownloadRun(
        pb.DownloadRunRequest(run_id=served.run_id, format=pb.DOWNLOAD_FORMAT_CSV)
    )
    text = b"".join(chunk.chunk for chunk in chunks).decode()
    rows = {row["Path"]: row["People"] for row in csv.DictReader(io.StringIO(text))}
    assert rows[served.second[0]] == '["Bob"]'

    best = served.people("best").splitlines()
    assert [line.partition(": ")[0] for line in best] == ["Ann", "Bob"]
    counted = http_get(f"{served.url}/runs/{served.run_id}/statistics").json()["people"]
    assert [f"{one['name']}: {one['best_path']}" for one in counted] == [
        line.partition(" (score")[0] for line in best
    ]

    told = json.loads(served.people("best", "--json"))["people"]
    assert [f"{one['name']}: {one['best_path']}" for one in told] == [
        line.partition(" (score")[0] for line in best
    ]
    told = json.loads(served.people("show", "Ann", "--json"))
    assert (told["person"]["name"], [one["path"] for one in told["faces"]]) == ("Ann", shown)

    assert "marked Ann as important" in served.people("important", "Ann")
    image = served.stub.GetImage(pb.GetImageRequest(run_id=served.run_id, path=served.first[0]))
    known = [signs.is_important for signs in image.image.face_signs if signs.person_id]
    assert all(known)
    assert "Ann: 3 photos, important" in served.people("list")
    served.people("undo")
    assert "Ann: 3 photos\n" in served.people("list")

    place = served.stub.ListPersonFaces(pb.ListPersonFacesRequest(person_id=first.id)).faces[0]
    moving = pb.CorrectPeopleRequest(
        action=pb.PEOPLE_ACTION_MOVE,
        person_id=second.id,
        faces=[place.place],
        request_id=str(uuid.uuid4()),
    )
    moved = served.stub.CorrectPeople(moving)
    assert served.stub.CorrectPeople(moving) == moved
    listed = http_get(f"{served.url}/people").json()
    assert listed["people"][0]["cover"]["path"] in served.second
    counts = {person["name"]: person["photo_count"] for person in listed["people"]}
    assert counts == {"Ann": 2, "Bob": 3}
    served.people("undo", moved.entry_id)
    photo = served.second[0]
    assert "removed 1 face from Bob" in served.people("not-a-face", "Bob", photo)
    assert served.first[0] not in served.people("show", "Bob")
    served.people("undo")
    wanted = pb.ListImagesRequest(run_id=served.run_id, person_id=second.id)
    listed_paths = {image.path for image in served.stub.ListImages(wanted).images}
    named = pb.ListImagesRequest(run_id=served.run_id, search="bOb")
    assert {image.path for image in served.stub.ListImages(named).images} == listed_paths
    assert photo in listed_paths
    statistics = served.stub.GetRunStatistics(pb.GetRunStatisticsRequest(run_id=served.run_id))
    assert [(one.name, one.image_count) for one in statistics.people][1][0] == "Bob"
    picture = pb.GetThumbnailRequest(run_id=served.run_id, path=photo, face_box=place.place.box)
    assert served.stub.GetThumbnail(picture).jpeg[:2] == b"\xff\xd8"
    assert http_get(f"{served.url}/people/questions").json() == {"questions": []}
    served.people("merge", "Ann", "Bob")
    assert "Ann: 5 photos" in served.people("list")
    faces = http_get(f"{served.url}/people/{first.id}/faces?page_size=2").json()
    assert (faces["total_count"], len(faces["faces"])) == (5, 2)
    assert faces["faces"][0]["place"]["box"]["width"] == BOX.width

    assert "deleted the identity vectors of 5 photos" in served.people("erase")
    assert "no people yet" in served.people("list")
    image = served.stub.GetImage(pb.GetImageRequest(run_id=served.run_id, path=served.first[0]))
    assert not image.image.person_names


def test_selected_photos_are_exported_by_person(served: Served, tmp_path: Path) -> None:
    request = pb.ExportRunRequest(
        run_id=served.run_id, output_folder=str(tmp_path / "there"), by_person=True
    )
    with pytest.raises(grpc.RpcError, match="nobody in the selected photos has a name"):
        served.stub.ExportRun(request)
    first, second = served.stub.ListPeople(pb.ListPeopleRequest()).people
    served.people("name", first.id, "Ann")
    served.people("name", second.id, "Bob")
    wanted = pb.ListImagesRequest(run_id=served.run_id, filters=[pb.IMAGE_FILTER_SELECTED])
    expected = {
        f"{name}/{image.path}"
        for image in served.stub.ListImages(wanted).images
        for name in image.person_names
    }
    assert expected
    assert served.stub.ExportRun(request).person_count == len(
        {path.partition("/")[0] for path in expected}
    )
    served.run("export", served.run_id, "--by", "person", "--out", tmp_path / "here")
    for folder in (tmp_path / "there" / "people", tmp_path / "here" / "people"):
        files = (path for path in folder.rglob("*") if path.is_file())
        assert {path.relative_to(folder).as_posix() for path in files} == expected


def test_simultaneous_writers_lose_no_correction(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    engine = open_database(data)
    entries = {
        (f"{number:064x}", IDENTITY_ROLE, "m"): pack_identities([IdentifiedFace(BOX, 1.0, vector)])
        for number, vector in enumerate(np.eye(2 * WRITER_COUNT, dtype=np.float32))
    }
    SqlFeatureCache(engine, RunMetrics(CollectorRegistry())).put(entries)
    people = SqlPeople(engine)
    people.use_model("m", 0.4)
    ids = [one.person.id for one in people.list_people()]
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/api/v1/people/corrections"
    with orchestrator(tmp_path, {}, tmp_path, http_address=f"127.0.0.1:{port}") as part:
        stub = part.stub

        def correct(writer: int, **said: str) -> str:
            """Returns the entry's id, if it is accepted; every other writer uses JSON."""
            said["request_id"] = str(uuid.uuid4())
            if writer % 2:
                answer = httpx.post(url, json=said, timeout=LIMIT_S)
                assert answer.status_code in (200, 400), answer.text
                return str(answer.json().get("entry_id", ""))
            said["action"] = f"PEOPLE_ACTION_{said['action'].upper()}"
            try:
                request = pb.CorrectPeopleRequest(**said)  # type: ignore[arg-type]
                return str(stub.CorrectPeople(request).entry_id)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                    raise
                return ""

        def write(writer: int) -> list[str]:
            first, second = ids[2 * writer : 2 * writer + 2]
            name = partial(correct, writer, action="name", person_id=first)
            merge = partial(correct, writer, action="merge", person_id=first)
            said = [name(name="Ann"), name(name=f"N{writer}"), merge(other_person_id=second)]
            return [*said, name(name=f"Writer {writer}")]

        with ThreadPoolExecutor(WRITER_COUNT) as threads:
            said = list(threads.map(write, range(WRITER_COUNT)))
        listed = stub.ListPeople(pb.ListPeopleRequest()).people
    log = [entry.id for entry in people.entries()]
    assert all(entry for first, *rest in said for entry in rest)
    assert any(first for first, *rest in said), "somebody was called Ann for a while"
    assert sorted(log) == sorted(entry for written in said for entry in written if entry)
    for written in said:  # each writer's entries in order
        own = [entry for entry in written if entry]
        assert [entry for entry in log if entry in own] == own
    assert {one.name: one.face_count for one in listed} == {
        f"Writer {writer}": 2 for writer in range(WRITER_COUNT)
    }
    engine.dispose()
