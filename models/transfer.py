"""Downloads files over HTTP, with resumption, retries and a size limit; `pull` checks digests."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_random_exponential,
)

from services.common.errors import ConfigError, UnavailableError
from services.common.platform import files

TIMEOUT_S = 30.0
ATTEMPTS = 5
SILENT_ATTEMPTS = 2
"""Number of attempts if the server sends nothing for `TIMEOUT_S`."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0

_WORTH_ANOTHER_TRY = (
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE,
)

Report = Callable[[int], None]
"""Receives the number of bytes fetched so far."""


class _BrokenTransferError(Exception):
    """The connection failed or the server is busy; the bytes fetched so far are kept."""


class _SilentServerError(_BrokenTransferError):
    """The server sent nothing within the time limit."""


def _gives_up(state: RetryCallState) -> bool:
    is_silent = state.outcome is not None and isinstance(
        state.outcome.exception(), _SilentServerError
    )
    return state.attempt_number >= (SILENT_ATTEMPTS if is_silent else ATTEMPTS)


def open_partial(partial: Path, flags: int) -> IO[bytes]:
    """Opens a partial file for writing; refuses a link or a pipe."""
    flags |= files.WRITE | os.O_CREAT | files.NO_FOLLOW | files.NO_WAIT
    return os.fdopen(os.open(partial, flags, 0o666), "wb")


def drop_foreign(partial: Path) -> None:
    """Removes anything that is not a real partial download: a symlink, a hard link or a pipe."""
    with contextlib.suppress(FileNotFoundError):
        status = partial.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            partial.unlink()


def transfer(url: str, partial: Path, size_bytes: int | None, report: Report) -> None:
    """Downloads to `partial`, resuming an earlier attempt; error messages omit the URL.

    Raises:
        ConfigError: The URL is invalid or redirects to an unencrypted one, or the file is larger
            than expected.
        UnavailableError: The server cannot be reached, or does not have the file.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(_BrokenTransferError),
        stop=_gives_up,
        wait=wait_random_exponential(FIRST_WAIT_S, LONGEST_WAIT_S),
        reraise=True,
    )
    try:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=True) as client:
            attempts(_receive, client, url, partial, size_bytes, report)
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        problem = str(error).rstrip(".")
        raise ConfigError(f"{problem}; use an https:// address") from error
    except _BrokenTransferError as error:
        raise UnavailableError(str(error)) from error


def _receive(
    client: httpx.Client, url: str, partial: Path, size_bytes: int | None, report: Report
) -> None:
    there = _beginning(partial, size_bytes)
    if there == size_bytes:
        return report(there)
    headers = {"Accept-Encoding": "identity"}  # a range would count compressed bytes
    if there:
        headers["Range"] = f"bytes={there}-"
    with _broken_transfers(), client.stream("GET", url, headers=headers) as response:
        _check_encryption(url, response)
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            partial.unlink()
        _check_status(response)
        goes_on = response.status_code == httpx.codes.PARTIAL_CONTENT
        there = there if goes_on else 0
        if size_bytes is None:
            size_bytes = there + int(response.headers.get("Content-Length", 0))
        with open_partial(partial, os.O_APPEND if goes_on else os.O_TRUNC) as opened:
            for chunk in response.iter_raw():
                there += len(chunk)
                if there > size_bytes:
                    raise ConfigError(f"it sent more than the expected {size_bytes} bytes")
                opened.write(chunk)
                report(there)
            os.fsync(opened.fileno())
    if there < size_bytes:
        raise _BrokenTransferError(f"the connection ended at byte {there} of {size_bytes}")


@contextlib.contextmanager
def _broken_transfers() -> Iterator[None]:
    """Translates errors that a retry may resolve."""
    try:
        yield
    except httpx.UnsupportedProtocol:
        raise  # another attempt would fail in the same way
    except httpx.TimeoutException as error:
        raise _SilentServerError(f"it sent nothing for {TIMEOUT_S:.0f} s") from error
    except httpx.TransportError as error:
        raise _BrokenTransferError(str(error) or type(error).__name__) from error


def _beginning(partial: Path, size_bytes: int | None) -> int:
    """Returns the size of a partial download; one larger than the whole file is deleted."""
    there = partial.stat().st_size if partial.exists() else 0
    if size_bytes is not None and there > size_bytes:
        partial.unlink()
        return 0
    return there


def _check_encryption(url: str, response: httpx.Response) -> None:
    if url.startswith("https:") and response.url.scheme != "https":
        raise ConfigError(f"it redirects to {response.url}, which is not encrypted")


def _check_status(response: httpx.Response) -> None:
    if response.is_server_error or response.status_code in _WORTH_ANOTHER_TRY:
        raise _BrokenTransferError(f"the server responded with {response.status_code}")
    if not response.is_success:
        raise UnavailableError(
            f"the server responded with {response.status_code} {response.reason_phrase}"
        )
