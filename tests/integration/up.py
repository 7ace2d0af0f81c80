"""`bestshot up` on free ports, as a user runs it."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.integration.command import BESTSHOT, Running, environment
from tests.waiting import LIMIT_S

PARTS = ("embedding", "quality", "face", "siamese", "orchestrator", "ui")


def free_ports(count: int) -> list[int]:
    """Finds free ports below the range from which the system assigns ports.

    A port in that range may be assigned to another process before ours listens on it.
    """
    found: set[int] = set()
    while len(found) < count:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return list(found)


def make_poisoned_folder(folder: Path) -> Path:
    """Makes a folder of modules named like those that the parts import; each writes `executed`."""
    folder.mkdir(parents=True, exist_ok=True)
    own = (*PARTS[4:], "services", "models", "bestshot", "inference")
    for name in (*own, "yaml", "grpc", "google", "numpy", "gradio", "json", "sitecustomize"):
        code = f"open({str(folder / 'executed')!r}, 'w').close()\n"
        (folder / f"{name}.py").write_text(code)
    return folder


@contextlib.contextmanager
def running_up(
    base: Path,
    allowed_roots: Sequence[Path],
    *arguments: str,
    changes: Mapping[str, str] | None = None,
    is_forked: bool = True,
) -> Iterator[dict[str, str]]:
    """Runs everything with its data below `base`; yields the address of each part.

    The current folder holds modules that must not be executed. Forked processes have already
    imported most modules elsewhere; without `is_forked`, they import them there, as for a user.
    """
    current = make_poisoned_folder(base / "current")
    ports = free_ports(len(PARTS))
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(PARTS, ports, strict=True)}
    settings = {f"BESTSHOT_SERVICES__{n.upper()}__ADDRESS": a for n, a in addresses.items()}
    for name in PARTS[:4]:
        key = f"BESTSHOT_SERVICES__ORCHESTRATOR__{name.upper()}_ADDRESS"
        settings[key] = addresses[name]
    settings["BESTSHOT_SERVICES__UI__ORCHESTRATOR_ADDRESS"] = addresses["orchestrator"]
    roots = str([str(root) for root in allowed_roots])
    settings["BESTSHOT_SERVICES__ORCHESTRATOR__ALLOWED_ROOTS"] = roots
    changes = {**settings, **(changes or {})}
    command = ["up", *arguments]
    started = _start if not is_forked else Running
    with started(command, data=base / "data", changes=changes, folder=current) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C to stop" in line:
                break
        else:
            raise AssertionError("".join(lines))
        try:
            yield addresses
        finally:
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=LIMIT_S)
    assert "Traceback" not in rest
    assert process.returncode == 130, rest
    assert not (current / "executed").exists()


def _start(
    arguments: Sequence[str], *, data: Path, changes: Mapping[str, str], folder: Path
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(BESTSHOT), *arguments],
        cwd=folder,
        env=environment(data, changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
