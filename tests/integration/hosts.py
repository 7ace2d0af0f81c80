"""Several hosts on one machine: network namespaces with separate addresses on one bridge.

The bridge has a namespace of its own, and this machine only one cable to it, without an address:
whenever an address of this machine appears or disappears, Chromium fails all waiting requests with
ERR_NETWORK_CHANGED, and pages in other tests remain incomplete.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import multiprocessing.process
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from orchestrator.cli.part_process import run_part
from tests.integration.command import forking
from tests.waiting import LIMIT_S, wait_until

_NEW_MOUNTS, _NEW_NETWORK = 0x00020000, 0x40000000  # CLONE_NEWNS, CLONE_NEWNET in sched.h
_RECURSIVE, _SLAVE, _BIND = 0x4000, 0x80000, 0x1000  # MS_REC, MS_SLAVE, MS_BIND in mount.h


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Host:
    """A machine with an address.

    Args:
        name: Name of its network namespace.
        address: Address in the network that the hosts and this process share.
        switch: Name of the bridge's network namespace.
        link: The bridge's end of its cable.
        folder: Folder for the logs of its parts.
    """

    def __init__(self, name: str, address: str, switch: str, link: str, folder: Path) -> None:
        self.address = address
        self.folder = folder
        self._name = name
        self._switch = switch
        self._link = link
        self._names = Path("/etc/netns", name, "hosts")

    @property
    def prefix(self) -> list[str]:
        """Start of a command that runs on this host."""
        return ["ip", "netns", "exec", self._name]

    def enter(self) -> None:
        """Moves this process, which has one thread, to the host, as `ip netns exec` does."""
        libc = ctypes.CDLL(None, use_errno=True)

        def check(result: int) -> None:
            if result != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

        with Path("/run/netns", self._name).open() as space:
            check(libc.setns(space.fileno(), _NEW_NETWORK))
        check(libc.unshare(_NEW_MOUNTS))
        check(libc.mount(b"", b"/", None, _RECURSIVE | _SLAVE, None))
        if self._names.exists():
            check(libc.mount(bytes(self._names), b"/etc/hosts", None, _BIND, None))

    def cut(self) -> None:
        """Pulls its cable: packets are silently dropped in both directions."""
        ip("-netns", self._switch, "link", "set", self._link, "down")

    def reconnect(self) -> None:
        ip("-netns", self._switch, "link", "set", self._link, "up")

    def know(self, names: Mapping[str, Sequence[str]]) -> None:
        """Sets the names that the host can resolve, each with its addresses."""
        lines = [f"{address} {name}\n" for name, found in names.items() for address in found]
        self._names.parent.mkdir(parents=True, exist_ok=True)
        self._names.write_text("".join(["127.0.0.1 localhost\n", *lines]))


class HostedPart:
    """One part as a process on a host, forked from a process that has imported everything.

    Args:
        host: Host on which it runs.
        name: The part.
        port: Port on which it listens.
        settings: Arguments of --set.
        arguments: Further arguments.
        variables: Environment variables, in addition to those of this process.
    """

    def __init__(
        self,
        host: Host,
        name: str,
        port: int,
        settings: Mapping[str, str],
        arguments: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.host = host
        self.name = name
        self.address = f"{host.address}:{port}"
        self._log = host.folder / f"{name}.log"
        flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        own = ["--address", self.address, "--insecure", "--exit-with-parent"]
        self._port_file = host.folder / f".{name}.address"
        self._arguments = [*own, "--port-file", str(self._port_file), *arguments, *flags]
        self._environment = {**os.environ, **(variables or {})}
        self._process: multiprocessing.process.BaseProcess | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def log_text(self) -> str:
        """Its log so far."""
        return self._log.read_text()

    def start(self) -> None:
        """Starts it and waits until it serves."""
        self._port_file.unlink(missing_ok=True)
        stdin, self._stdin = multiprocessing.Pipe(duplex=False)
        run = (self.name, self._arguments, self._environment, str(self._log), stdin)
        process = forking.Process(target=_run_on, args=(self.host, *run))
        with stdin:
            process.start()
        self._process = process

        def is_serving() -> bool:
            assert process.exitcode is None, self.log_text
            return self._port_file.exists()

        wait_until(is_serving)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stops it and waits for it to exit."""
        if self._process is not None:
            if self._process.exitcode is None:
                os.kill(self.pid, number)
            self._process.join(LIMIT_S)
            self._stdin.close()
            self._process = None

    def restart(self) -> None:
        """Restarts it gracefully, as in an upgrade."""
        self.stop()
        self.start()


def _run_on(
    host: Host,
    name: str,
    arguments: list[str],
    variables: dict[str, str],
    log: str,
    stdin: Connection,
) -> None:
    host.enter()
    run_part(name, arguments, variables, log, stdin)


def _find_addresses() -> list[str]:
    """Returns this machine's IPv4 addresses, except those of its loopback."""
    show = ["ip", "-json", "-4", "address", "show", "scope", "global", "up"]
    devices = json.loads(subprocess.run(show, check=True, capture_output=True).stdout)
    return [address["local"] for device in devices for address in device["addr_info"]]


@contextlib.contextmanager
def hosts(names: Sequence[str], folder: Path) -> Iterator[dict[str, Host]]:
    """Makes hosts; skips the test if this process is not allowed to."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    tag = f"{random.SystemRandom().randrange(16**4):04x}"
    subnet = f"10.77.{random.SystemRandom().randrange(1, 255)}"
    switch = f"bs{tag}"
    own_addresses = _find_addresses()
    made: dict[str, Host] = {}
    try:
        ip("netns", "add", switch)
        ip("-netns", switch, "link", "add", "bridge", "type", "bridge")
        ip("-netns", switch, "link", "set", "bridge", "up")
        ip("link", "add", switch, "type", "veth", "peer", "name", "uplink", "netns", switch)
        ip("-netns", switch, "link", "set", "uplink", "master", "bridge", "up")
        ip("link", "set", switch, "addrgenmode", "none", "up")
        if own_addresses:  # then the hosts can be reached from one of them
            ip("route", "add", f"{subnet}.0/24", "dev", switch)
        else:
            ip("address", "add", f"{subnet}.1/24", "dev", switch)
        for number, name in enumerate(names):
            space, link = f"bs{tag}-{name}", f"port{number}"
            own = folder / name
            own.mkdir(parents=True)
            made[name] = Host(space, f"{subnet}.{11 + number}", switch, link, own)
            ip("netns", "add", space)
            cable = ("type", "veth", "peer", "name", "eth0", "netns", space)
            ip("-netns", switch, "link", "add", link, *cable)
            ip("-netns", switch, "link", "set", link, "master", "bridge", "up")
            for arguments in (
                ("address", "add", f"{subnet}.{11 + number}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
                *(("route", "add", own_address, "dev", "eth0") for own_address in own_addresses),
            ):
                ip("-netns", space, *arguments)
        yield made
    finally:
        for name in made:
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "delete", f"bs{tag}-{name}")
            shutil.rmtree(f"/etc/netns/bs{tag}-{name}", ignore_errors=True)
        for arguments in (("link", "delete", switch), ("netns", "delete", switch)):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip(*arguments)
