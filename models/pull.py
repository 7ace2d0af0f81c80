"""Fetches published model files: resumed, retried, verified, and put in place in one step."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from services.common.errors import ConfigError, UnavailableError
from services.common.inference.registry import Download, expected_digest, file_digest
from services.common.user_files import open_user_file

PARTIAL_SUFFIX = ".part"
TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 20
ATTEMPTS = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0

_WORTH_ANOTHER_TRY = (
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE,
)

Report = Callable[[int], None]
"""Receives the number of bytes fetched so far."""


@dataclass(frozen=True)
class Source:
    """Where files come from; with neither, from where each is published.

    Attributes:
        folder: Has the files, anywhere in it, under their names.
        mirror: Base URL; the files are directly below it.
    """

    folder: Path | None = None
    mirror: str | None = None


class _BrokenTransferError(Exception):
    """The connection failed or the server is busy; the part fetched so far is kept."""


def is_in_place(models_folder: Path, model_id: str, key: str, download: Download) -> bool:
    """Whether the file is complete and has the expected digest, if one is known."""
    path = models_folder / model_id / download.name
    if not path.is_file() or download.size_bytes not in (None, path.stat().st_size):
        return False
    expected = expected_digest(models_folder, model_id, key, download)
    return expected is None or file_digest(path) == expected


def fetch(
    models_folder: Path,
    model_id: str,
    key: str,
    download: Download,
    source: Source,
    report: Report,
) -> Path:
    """Puts one file into the models folder atomically and verified.

    Args:
        models_folder: Folder of all models.
        model_id: Names the folder of the file.
        key: Name of the file in the registry's entry.
        download: Its name, address, size and digest.
        source: Where to take it from.
        report: Receives the progress.

    Returns:
        The file's path.

    Raises:
        ConfigError: It has no address, is not where it should be, is a different file, or the disk
            is full or not writable.
        UnavailableError: The server cannot be reached or does not have it.
    """
    target = models_folder / model_id / download.name
    partial = target.with_name(target.name + PARTIAL_SUFFIX)
    with _disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.folder is not None:
            _copy(_find_below(source.folder, download.name), partial, download.size_bytes)
            report(partial.stat().st_size)
        else:
            _drop_foreign(partial)
            _transfer(_address(model_id, download, source), partial, download.size_bytes, report)
        _check(partial, expected_digest(models_folder, model_id, key, download), download)
        partial.replace(target)
    return target


def _address(model_id: str, download: Download, source: Source) -> str:
    if source.mirror is not None:
        return f"{source.mirror.rstrip('/')}/{download.name}"
    if download.url is None:
        raise ConfigError(
            f"{model_id}: {download.name} has no public address in models.yaml; "
            f"pass the folder that has it with --from, or a server with --mirror"
        )
    return download.url


def _find_below(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise ConfigError(f"--from {folder}: there is no such folder")
    found = sorted(folder.rglob(name))
    if not found:
        raise ConfigError(f"--from {folder}: {name} not found there")
    return found[0]


def _copy(found: Path, partial: Path, size_bytes: int | None) -> None:
    """Copies as many bytes as the file has when opened, even if it grows in the meantime."""
    with open_user_file(found, "--from") as opened:
        size = os.fstat(opened.fileno()).st_size
        if size_bytes not in (None, size):
            raise ConfigError(f"{found} has {size} bytes (expected {size_bytes})")
        # Remove first and use O_EXCL: the name may be a link to somewhere else.
        partial.unlink(missing_ok=True)
        with _open_partial(partial, os.O_EXCL) as written:
            while size and (chunk := opened.read(min(size, CHUNK_BYTES))):
                written.write(chunk)
                size -= len(chunk)
            os.fsync(written.fileno())


def _open_partial(partial: Path, flags: int) -> IO[bytes]:
    flags |= os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.fdopen(os.open(partial, flags, 0o666), "wb")


def _drop_foreign(partial: Path) -> None:
    """Removes anything that is not a real partial download: a link, a hard link, a pipe."""
    with contextlib.suppress(FileNotFoundError):
        status = partial.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            partial.unlink()


def _transfer(url: str, partial: Path, size_bytes: int | None, report: Report) -> None:
    """Downloads to `partial`, resuming an earlier attempt."""
    attempts = Retrying(
        retry=retry_if_exception_type(_BrokenTransferError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(FIRST_WAIT_S, LONGEST_WAIT_S),
        reraise=True,
    )
    try:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=True) as client:
            attempts(_receive, client, url, partial, size_bytes, report)
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise ConfigError(f"{url} cannot be fetched: {error}; use an https:// address") from error
    except _BrokenTransferError as error:
        raise UnavailableError(
            f"{url}: {error}. Pull again to resume. On a machine without a "
            f"network, use --from FOLDER"
        ) from error


def _receive(
    client: httpx.Client, url: str, partial: Path, size_bytes: int | None, report: Report
) -> None:
    there = _beginning(partial, size_bytes)
    if there == size_bytes:
        return report(there)
    headers = {"Accept-Encoding": "identity"}  # bytes as they are stored, so that they can resume
    if there:
        headers["Range"] = f"bytes={there}-"
    try:
        with client.stream("GET", url, headers=headers) as response:
            _check_encryption(url, response)
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                partial.unlink()
            _check_status(url, response)
            goes_on = response.status_code == httpx.codes.PARTIAL_CONTENT
            there = there if goes_on else 0
            if size_bytes is None:
                size_bytes = there + int(response.headers.get("Content-Length", 0))
            with _open_partial(partial, os.O_APPEND if goes_on else os.O_TRUNC) as opened:
                for chunk in response.iter_raw():
                    there += len(chunk)
                    if there > size_bytes:
                        raise ConfigError(f"{url} sends more than the {size_bytes} bytes expected")
                    opened.write(chunk)
                    report(there)
                os.fsync(opened.fileno())
    except httpx.UnsupportedProtocol:
        raise  # another attempt would fail the same way
    except httpx.TransportError as error:
        raise _BrokenTransferError(str(error) or type(error).__name__) from error
    if there < size_bytes:
        raise _BrokenTransferError(f"the connection ended at byte {there} of {size_bytes}")


def _beginning(partial: Path, size_bytes: int | None) -> int:
    """Size of a partial download; one larger than the whole file is deleted."""
    there = partial.stat().st_size if partial.exists() else 0
    if size_bytes is not None and there > size_bytes:
        partial.unlink()
        return 0
    return there


def _check_encryption(url: str, response: httpx.Response) -> None:
    if url.startswith("https:") and response.url.scheme != "https":
        raise ConfigError(f"{url} redirects to {response.url}, which is not encrypted")


def _check_status(url: str, response: httpx.Response) -> None:
    if response.is_server_error or response.status_code in _WORTH_ANOTHER_TRY:
        raise _BrokenTransferError(f"the server answers {response.status_code}")
    if not response.is_success:
        raise UnavailableError(
            f"{url}: the server answers {response.status_code} {response.reason_phrase}; "
            f"has the file moved? --mirror URL and --from FOLDER may help"
        )


def _check(partial: Path, expected: str | None, download: Download) -> None:
    """Removes the file and raises ConfigError if it is not the expected one."""
    size, digest = partial.stat().st_size, file_digest(partial)
    wrong = ""
    if download.size_bytes not in (None, size):
        wrong = f"has {size} bytes, expected {download.size_bytes}"
    elif expected is not None and digest != expected:
        wrong = f"has sha256 {digest}, expected {expected}"
    if wrong:
        partial.unlink()
        raise ConfigError(f"the file fetched for {download.name} {wrong}; it was deleted")


@contextlib.contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "; the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        reason = f"{error.filename or target}: {error.strerror}{hint}"
        raise ConfigError(f"cannot put {target} in place: {reason}") from error
