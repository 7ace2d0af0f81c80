"""The client library as users get it: installed without bestshot, used exactly as in its README."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import trustme
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from bestshot_client import (
    Addresses,
    AsyncClient,
    BestshotError,
    Client,
    ImageError,
    Security,
)
from bestshot_client import _channels as client_channels
from PIL import Image

from services.common.rpc import channels
from services.common.rpc.auth import new_token, token_digest
from tests.conftest import ROOT, draw_picture
from tests.contract.servers import SHARED
from tests.contract.test_security import write_files
from tests.integration.parts import Orchestrator, Part, orchestrator
from tests.waiting import LIMIT_S

OLDEST = ("grpcio==1.73.0", "protobuf==6.31.0") if sys.version_info < (3, 14) else ()
"""The oldest versions that callers may have; the other tests use the newest."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files in the README: two pictures, and one file that is not a picture."""
    folder = tmp_path_factory.mktemp("client") / "photos"
    folder.mkdir()
    for seed, name in enumerate(("first", "second")):
        Image.fromarray(draw_picture(seed, 480, 360)).save(folder / f"{name}.jpg")
    (folder / "letter.txt").write_text("Dear all")
    return folder


@pytest.fixture(scope="module")
def running(
    services: dict[str, Part], photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Orchestrator]:
    own = {name: part.address for name, part in services.items()}
    with orchestrator(tmp_path_factory.mktemp("orchestrator"), own, photos) as part:
        yield part


@pytest.fixture
def addresses(services: dict[str, Part], running: Orchestrator) -> Addresses:
    own = {name: part.address for name, part in services.items()}
    return Addresses(orchestrator=running.address, **own)


def test_the_library_alone_is_small_and_the_examples_on_its_page_run(
    addresses: Addresses, photos: Path, tmp_path: Path
) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    venv = [sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"]
    subprocess.run(venv, check=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "wheels"]
    for project in ("protos", "client"):
        subprocess.run(build, cwd=ROOT / project, check=True, capture_output=True)
    pip = [sys.executable, "-m", "pip", "--python", python]
    wheels = (tmp_path / "wheels").iterdir()
    command = [*pip, "install", "-q", "--no-compile", *OLDEST, *wheels]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    code = "from importlib import metadata; print(*(one.name for one in metadata.distributions()))"
    listed = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) <= {
        *("bestshot-client", "bestshot-protos", "googleapis-common-protos", "grpcio", "protobuf"),
        "typing_extensions",
    }
    page = (ROOT / "README.md").read_text() + (ROOT / "client" / "README.md").read_text()
    (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    script = "from bestshot_client import Addresses\n"
    script += "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    for name in ("orchestrator", "embedding", "quality", "face", "siamese"):
        script = script.replace(f"127.0.0.1:{name}", addresses.of(name))
    script = script.replace("Client()", f"Client({addresses!r})")
    script = script.replace("/home/me/photos", str(photos))
    (tmp_path / "page.py").write_text(script)
    (tmp_path / "photos").symlink_to(photos)
    ran = subprocess.run(
        [python, "-W", "error", "page.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    assert "photos/letter.txt could not be scored: " in ran.stdout
    assert re.search(r"^similarity -?0\.\d+", ran.stdout, re.MULTILINE)
    assert re.search(r"^2 photos, \d selected", ran.stdout, re.MULTILINE)
    assert "['first.jpg', 'second.jpg']" in ran.stdout


def test_the_library_returns_the_results_of_the_services(
    addresses: Addresses, photos: Path
) -> None:
    paths = [photos / "first.jpg", (photos / "second.jpg").read_bytes(), photos / "letter.txt"]
    with Client(addresses) as client:
        vectors = client.embed(paths)
        scores = client.score(paths)
        faces = client.analyze(paths)
        pairs = [(paths[0], paths[1]), (paths[1], paths[0]), (paths[0], paths[2])]
        compared = client.compare(pairs)

    async def same() -> list[object]:
        async with AsyncClient(addresses) as client:
            calls = (client.embed(paths), client.score(paths), client.analyze(paths))
            return [*await asyncio.gather(*calls), await client.compare(pairs)]

    for found, again in zip((vectors, scores, faces, compared), asyncio.run(same()), strict=True):
        assert isinstance(found[2], ImageError)
        assert list(found[:2]) == list(again)[:2]  # type: ignore[call-overload]
    assert np.linalg.norm(vectors[0]) == pytest.approx(1.0, abs=1e-6)
    assert compared[0] + compared[1] == pytest.approx(1.0)


def test_many_pictures_are_sent_in_several_calls(addresses: Addresses, photos: Path) -> None:
    first, second = photos / "first.jpg", (photos / "second.jpg").read_bytes()
    with Client(addresses) as client:
        alone, other = client.score([first, second])
        assert client.score([first, second] * 20) == [alone, other] * 20
        (probability,) = client.compare([(first, second)])
        many = client.compare([(first, second), (second, first)] * 20)
        assert many == [probability, pytest.approx(1 - probability)] * 20
        assert client.score([]) == []


def test_curation_reports_progress_and_returns_all_photos(
    addresses: Addresses, photos: Path
) -> None:
    seen: list[pb.Run] = []
    with Client(addresses) as client:
        run = client.curate(photos, on_progress=seen.append)
        found = list(client.photos(run.id))
        content = client.download(run.id, pb.DOWNLOAD_FORMAT_CSV)
        album = client.upload("Two", [photos / "first.jpg", photos / "second.jpg"])
        strict = client.run(album.id, settings={"filter_quality": {"min_iqa_score": 1.0}})
        all_codes = {photo.reason_code for photo in client.photos(strict.id)}
        picked = list(client.photos(strict.id, selected_only=True))
    assert run.state == seen[-1].state == pb.RUN_STATE_COMPLETED
    assert [photo.path for photo in found] == ["first.jpg", "second.jpg"]
    assert all(photo.HasField("quality") for photo in found)
    assert content.startswith(b"Image,Status,AVA")
    assert pb.REASON_CODE_LOW_IQA in all_codes
    assert len(picked) < 2


def test_every_failure_is_the_same_kind_of_error(addresses: Addresses, photos: Path) -> None:
    with Client(addresses, timeout_s=LIMIT_S) as client:
        with pytest.raises(BestshotError, match="allowed") as caught:
            client.curate("/etc")
        assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(BestshotError, match="min_iqa_scor"):
            client.curate(photos, settings={"filter_quality": {"min_iqa_scor": 1.0}})
        with pytest.raises(FileNotFoundError):
            client.score([photos / "absent.jpg"])
    with Client(Addresses(embedding=None)) as client, pytest.raises(ValueError, match="embedding"):
        client.embed([photos / "first.jpg"])
    with Client(Addresses(quality="127.0.0.1:1")) as client:
        with pytest.raises(BestshotError) as caught:
            client.score([photos / "first.jpg"])
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_the_library_sends_a_token_and_a_certificate(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_files(tmp_path / "tls", trustme.CA())
    token = new_token()
    known = tmp_path / "tokens.yaml"
    known.write_text(f"tokens: {{me: {{sha256: {token_digest(token)}, scope: run}}}}")
    settings = {
        "TOKENS_FILE": known,
        "TLS__CERTIFICATE_FILE": files.certificate,
        "TLS__KEY_FILE": files.key,
        "TLS__CA_FILE": files.ca,
        "TLS__REQUIRE_CLIENT_CERTIFICATE": True,
    }
    for key, value in settings.items():
        monkeypatch.setenv(f"BESTSHOT_SERVICES__SHARED__{key}", str(value))
    part = Part("quality", tmp_path / "quality")
    part.start()
    try:
        where = Addresses(quality=part.address)
        me = Security(token, files.ca, files.certificate, files.key)
        assert token not in repr(me)
        with Client(where, me) as client:
            assert not isinstance(client.score([photos / "first.jpg"])[0], ImageError)
        for stranger in (Security(), Security("x", *me_files(files)), Security(token, files.ca)):
            with Client(where, stranger) as client, pytest.raises(BestshotError):
                client.score([photos / "first.jpg"])
    finally:
        part.stop()


def me_files(files: object) -> tuple[Path, Path, Path]:
    return files.ca, files.certificate, files.key  # type: ignore[attr-defined]


def test_the_library_has_the_channel_options_of_our_parts() -> None:
    assert client_channels.service_config("a.b") == channels._service_config("a.b")
    assert SHARED.max_message_bytes == client_channels.MAX_MESSAGE_BYTES
