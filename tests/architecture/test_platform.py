"""Only services/common/platform uses functions that one of the systems lacks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

MODULES = {"fcntl", "grp", "msvcrt", "pwd", "resource", "termios", "winreg", "portalocker"}
NAMES = {
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_PATH"),
    *("SIGHUP", "SIGKILL", "add_signal_handler", "fchmod", "killpg", "pidfd_open"),
    *("pidfd_send_signal", "pthread_sigmask", "setsid", "dir_fd", "src_dir_fd", "dst_dir_fd"),
}
PLATFORM = ROOT / "services" / "common" / "platform"
FILES = sorted(
    path
    for package in ("services", "orchestrator", "ui", "models", "client/bestshot_client")
    for path in (ROOT / package).rglob("*.py")
    if PLATFORM not in path.parents and ROOT / "models" / "train" not in path.parents
)


def used_names(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.partition(".")[0] for alias in names} & MODULES
            case ast.ImportFrom(module=str(module)):
                found |= {module.partition(".")[0]} & MODULES
            case ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                found |= {name} & NAMES
    return found


@pytest.mark.parametrize("package", ["services", "orchestrator", "ui", "models", "client"])
def test_what_a_system_lacks_is_used_in_one_package(package: str) -> None:
    files = [path for path in FILES if path.relative_to(ROOT).parts[0] == package]
    assert files
    found = {str(path.relative_to(ROOT)): names for path in files if (names := used_names(path))}
    assert not found
