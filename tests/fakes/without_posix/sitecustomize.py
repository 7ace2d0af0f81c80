"""Removes from Python what Windows lacks; through PYTHONPATH, this applies to child processes too.

What the standard library itself needs on Linux stays: `sys.platform`, `os.name` and subprocesses.
"""

import asyncio
import os
import signal
import socket
import sys

MODULES = ("fcntl", "grp", "pwd", "resource", "hdbscan")
ATTRIBUTES = {
    os: (
        *("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_PATH"),
        *("fchmod", "fork", "killpg", "pidfd_open", "setsid", "statvfs"),
    ),
    signal: ("SIGHUP", "SIGKILL", "SIGUSR1", "pthread_sigmask", "pidfd_send_signal"),
    socket: ("recv_fds", "send_fds"),
}


class Hiding:
    """A module finder that finds all modules except the hidden ones."""

    def __init__(self, finder) -> None:  # noqa: ANN001
        self._finder = finder

    def __getattr__(self, name):  # noqa: ANN001, ANN204
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):  # noqa: ANN001, ANN201
        if name.partition(".")[0] in MODULES:
            return None
        return self._finder.find_spec(name, path, target)


def refuse(*arguments, **options):  # noqa: ANN002, ANN003, ANN201
    raise NotImplementedError


def hide():  # noqa: ANN201
    # imported first, because they choose by os.name and would then miss what is hidden
    import platformdirs  # noqa: F401
    import portalocker  # noqa: F401

    sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
    for name in MODULES:
        sys.modules.pop(name, None)
    for module, names in ATTRIBUTES.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    os.supports_dir_fd = set()
    os.supports_fd = os.supports_fd - {os.utime}
    asyncio.SelectorEventLoop.add_signal_handler = refuse


hide()
