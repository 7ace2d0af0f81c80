"""Section `ui` of services.yaml."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from services.common.config.layers import Settings
from services.common.config.sections import Address, Count
from services.common.errors import ConfigError
from services.common.user_files import read_user_text


class UiSettings(Settings):
    """Section `ui` of services.yaml."""

    address: Address
    """`host:port` to listen on; port 0 picks a free one. Listening on a non-loopback
    address requires a password (sent unencrypted without `shared.tls`) or `--insecure`"""
    orchestrator_address: str
    """where the orchestrator runs"""
    call_timeout_s: Annotated[float, Field(gt=0)]
    """deadline for a call to the orchestrator, in seconds"""
    username: str | None
    """user name for the UI's login; `null`: no login, so anyone who can reach the UI can use it"""
    password_file: Path | None
    """file whose first line is the password for `ui.username`"""
    max_upload_mb: Count
    """maximum size of an uploaded file, in MB; a whole upload can be fifty times as large"""


@dataclass(frozen=True)
class Login:
    """A user name and its password."""

    username: str
    password: str

    def admits(self, username: str, password: str) -> bool:
        """Whether the credentials match; the comparison takes constant time."""
        same_name = secrets.compare_digest(username.encode(), self.username.encode())
        same_password = secrets.compare_digest(password.encode(), self.password.encode())
        return same_name and same_password


def read_login(settings: UiSettings) -> Login | None:
    """Reads the user name and password; None if there is no login.

    Raises:
        ConfigError: Only one of user name and password file is set, or the file cannot be read.
    """
    if settings.username is None and settings.password_file is None:
        return None
    if settings.username is None or settings.password_file is None:
        raise ConfigError("set both ui.username and ui.password_file, or neither")
    path = settings.password_file.expanduser()
    lines = read_user_text(path, "ui.password_file").splitlines()
    if not lines or not lines[0]:
        raise ConfigError(f"ui.password_file: the first line of {path} is empty")
    return Login(settings.username, lines[0])
