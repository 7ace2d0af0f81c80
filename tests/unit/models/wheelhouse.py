"""Builds wheels for tests, and serves them as a package index."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.local_server import serving

PROJECT, VERSION = "net-carrier", "1.0"
WHEEL = f"{PROJECT}=={VERSION}"
MEMBER = "net_carrier/data/graph.onnx"


def build_wheel(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Builds a pure wheel that pip accepts."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"net_carrier-{VERSION}-py3-none-any.whl"
    info = f"net_carrier-{VERSION}.dist-info"
    about = f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {VERSION}\n"
    metadata = {
        f"{info}/METADATA": about.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, **metadata}.items():
            archive.writestr(name, content)
        names = [*files, *metadata, f"{info}/RECORD"]
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))
    return path


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def package_index(folder: Path, wheel: Path) -> Iterator[str]:
    """Serves a wheel like a package index; yields the index's address."""
    page = folder / "simple" / PROJECT / "index.html"
    page.parent.mkdir(parents=True)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (page.parent / wheel.name).write_bytes(wheel.read_bytes())
    page.write_text(f'<!DOCTYPE html><a href="{wheel.name}#sha256={digest}">{wheel.name}</a>')
    handler = partial(_Quiet, directory=str(folder))
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/simple"
