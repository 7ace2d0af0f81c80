"""Checks with buf that the API is compatible with that of the last release.

`--release` stores the current API in released.binpb as that of the last release.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).parent
RELEASED = ROOT / "released.binpb"
BUF = Path(sys.executable).with_name("buf")
RULES = '{"version": "v2", "breaking": {"use": ["FILE"]}}'
"""FILE: nothing is removed, renamed, renumbered or retyped, so generated code stays compatible."""


def write_api(target: Path) -> None:
    """Writes the descriptors of our API, with everything that they import."""
    google = next(Path(one) for one in sys.path if (Path(one) / "google/rpc/status.proto").exists())
    folders = (ROOT, Path(grpc_tools.__file__).parent / "_proto", google)
    sources = sorted(str(path) for path in ROOT.glob("bestshot/**/*.proto"))
    options = [f"-I{folder}" for folder in folders]
    options += [f"--descriptor_set_out={target}", "--include_imports"]
    if protoc.main(["protoc", *options, *sources]) != 0:
        raise SystemExit("protoc failed")


def find_breaks(api: Path) -> str:
    """Returns the changes that break callers of the released API, one per line; empty if none."""
    command = [BUF, "breaking", api, "--against", RELEASED, "--config", RULES, "--exclude-imports"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode not in (0, 100):  # 100: there are breaking changes
        raise SystemExit(done.stderr)
    return done.stdout


def main() -> None:
    """Checks the API, or stores it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", action="store_true", help="store the API as the released one")
    if parser.parse_args().release:
        write_api(RELEASED)
        return
    with tempfile.TemporaryDirectory() as folder:
        api = Path(folder) / "api.binpb"
        write_api(api)
        if breaks := find_breaks(api):
            raise SystemExit(breaks)
    print("the API is compatible with the last release")


if __name__ == "__main__":
    main()
