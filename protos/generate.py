"""Generates protos/gen from the .proto files, or checks that it is up to date (`--check`).

Run it with `make protos`, which installs the version of grpcio-tools that clients depend on: the
generated code needs at least the protobuf and grpcio of the grpcio-tools that generated it.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTO_ROOT = Path(__file__).parent
GENERATED = PROTO_ROOT / "gen"
PACKAGES = ("bestshot", "inference")


def generate(target: Path) -> None:
    """Writes the Python modules, stubs and service classes of every .proto below `target`."""
    sources = sorted(
        path for package in PACKAGES for path in PROTO_ROOT.glob(f"{package}/**/*.proto")
    )
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    google_rpc = next(
        Path(entry) for entry in sys.path if (Path(entry) / "google/rpc/status.proto").exists()
    )
    status = protoc.main(
        [
            "protoc",
            f"-I{PROTO_ROOT}",
            f"-I{well_known}",
            f"-I{google_rpc}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            f"--grpc_python_out={target}",
            *(str(source) for source in sources),
        ]
    )
    if status != 0:
        raise SystemExit(f"protoc failed with status {status}")
    for service in target.rglob("*_pb2_grpc.py"):
        if "Stub" not in service.read_text():
            service.unlink()
    (target / "bestshot" / "py.typed").touch()  # type checkers use the stubs only beside this file


def stale_files(fresh: Path) -> list[str]:
    """Lists the files that differ between `fresh` and protos/gen, or are in only one of them."""

    def names(root: Path) -> set[str]:
        return {
            str(path.relative_to(root))
            for path in root.rglob("*.py*")  # py.typed too
            if "__pycache__" not in path.parts
        }

    return sorted(
        name
        for name in names(fresh) | names(GENERATED)
        if not (fresh / name).exists()
        or not (GENERATED / name).exists()
        or not filecmp.cmp(fresh / name, GENERATED / name, shallow=False)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="generates protos/gen")
    parser.add_argument("--check", action="store_true", help="only check that it is up to date")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if check:
            if stale := stale_files(fresh):
                raise SystemExit(f"protos/gen is stale, run `make protos`: {', '.join(stale)}")
            print("protos/gen is up to date")
            return
        shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(fresh, GENERATED)


if __name__ == "__main__":
    main()
