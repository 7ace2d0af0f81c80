"""Settings that all parts share: the `shared` section of services.yaml, and their command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from services.common.config.folders import (
    DEFAULT_PROFILE,
    config_dir,
    models_dir,
    profile_of_environment,
)
from services.common.config.layers import (
    ConfigFile,
    Layer,
    Settings,
    SettingsT,
    UserPath,
    check_default_profile,
    flag_layer,
    layers_of,
    load,
    load_profile,
    profiles_to_check,
    read_config_file,
)
from services.common.config.tls import TlsSettings
from services.common.errors import ConfigError

Address = Annotated[str, Field(pattern=r"^\S+:\d{1,5}$")]
Count = Annotated[int, Field(ge=1)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]


class SharedSettings(Settings):
    """Section `shared` of services.yaml: settings that clients and servers must agree on."""

    log_level: Literal["debug", "info", "warning", "error"]
    """`debug`, `info`, `warning` or `error`"""
    log_format: Literal["text", "json"]
    """`text`, or `json`: one object per line"""
    max_message_bytes: Count
    """maximum size of a gRPC message, for servers and clients"""
    max_batch_count: Count
    """maximum number of pictures or pairs per call"""
    max_image_pixels: Count
    """maximum number of pixels in an image file; read from its header before anything is decoded"""
    max_connection_age_s: Count | None
    """seconds after which a model service asks a client to reconnect, so that it finds new
    replicas; `null` for never. Calls in progress are completed first"""
    max_concurrent_calls: Count
    """maximum number of concurrent calls to a server; further calls fail with `RESOURCE_EXHAUSTED`
    (429 in the JSON API) and a retry delay. A single connection may use all of them. Health checks
    and reflection have a separate limit of the same size"""
    allowed_hosts: list[HostName]
    """additional host names, without a port, by which clients reach the page and the JSON API, for
    example through an ingress: `[photos.example.com]`. The servers' own addresses and loopback are
    always accepted, and any IP address if a server listens on a non-loopback address. Requests for
    other names are refused, so that no web site can reach the servers through a browser"""
    tls: TlsSettings
    tokens_file: UserPath | None
    """YAML file of accepted tokens, by name: `sha256`, `scope` (`read` < `run` < `admin`) and,
    optionally, `expires`, the day or time (UTC unless it has an offset) from which the token is
    refused; `bestshot token` creates a token. Changes apply from the next call; while the file
    is missing or invalid, the last tokens remain valid and the log says why. `null`: no token is
    required"""
    token_file: UserPath | None
    """file whose first line is the token that a part sends with its calls to other parts, read
    again when it changes; `null` for none"""
    allow_plaintext_token: bool
    """whether tokens may be sent between machines without TLS. `false`: a server with `tokens_file`
    but no certificate listens only on loopback, and a part with `token_file` but no `ca_file` calls
    only loopback addresses and Unix sockets"""
    tracing_endpoint: Address | None
    """`host:port` of an OpenTelemetry collector (OTLP over gRPC); needs the `tracing` extra; `null`
    for no tracing"""


class ModelServiceSettings(Settings):
    """Section of one model service."""

    address: Address
    """`host:port` to listen on; port 0 picks a free one"""
    metrics_address: Address | None
    """`host:port` that answers `GET /metrics` for Prometheus; `null` for none. Anyone who can reach
    it can read the metrics; to listen on a non-loopback address, it needs the same protection as
    the part itself: tokens, client certificates or `--insecure`"""
    model: str
    """id in `models.yaml`"""
    fallback: Literal["none", "builtin"]
    """what to do if the model's files are missing: `builtin` serves the built-in model for that
    role instead, and the run and the gallery report it; with `none` the service does not start"""
    worker_threads: Count
    """number of threads that prepare pictures and run inferences"""
    preferred_batch_count: Count
    """maximum number of items per inference. Above 1, several callers' items share an inference,
    which is faster on a GPU, but the last bits of a score can depend on the rest of its batch. The
    formulas and the cascades always process one picture at a time"""
    max_queue_delay_ms: Annotated[float, Field(ge=0)]
    """how long an inference that is not full waits for more items; 0: takes only items already
    queued"""
    max_queue_count: Count
    """maximum number of items queued or in progress. A call that would exceed it waits, first come,
    first served; a single call with more items fails with `RESOURCE_EXHAUSTED`. The requests held
    in memory are also limited, to four times `shared.max_message_bytes`"""
    max_decode_mb: Count
    """maximum memory, in MB, for all photos being decoded at the same time; a large photo waits
    until it fits, and one that needs more than the whole limit is reported as unreadable. 2,200 is
    enough for a 200-megapixel JPEG or HEIC; the manifests' memory limits assume these values, so
    raise both together"""
    execution_providers: Annotated[list[str], Field(min_length=1)]
    """ONNX Runtime execution providers, in order of preference (formulas and cascades use none).
    Unavailable ones are skipped, and the log says so; `GetModelInfo` and the run report those in
    use. For TensorRT: `[TensorrtExecutionProvider, CUDAExecutionProvider, CPUExecutionProvider]`;
    its engines are kept in the user's cache folder"""
    strict_providers: bool
    """whether the service refuses to start if a provider is unavailable"""
    device_id: Annotated[int, Field(ge=0)]
    """index of the GPU"""
    gpu_memory_limit_mb: Count | None
    """maximum GPU memory, in MiB, for one graph (CUDA) or its workspace (TensorRT); `null` for no
    limit"""
    intra_op_threads: Annotated[int, Field(ge=0)]
    """number of threads per inference; 0: one per core"""


@dataclass(frozen=True)
class Invocation:
    """A part's command line.

    Attributes:
        folder: Config folder.
        models_folder: Folder with the pulled models.
        profile: The active profile.
        config_files: Files given with --config.
        flags: Assignments given with --set.
        address: Overrides the configured address.
        port_file: File to which the bound address is written once the part is serving.
        exit_with_parent: Whether the part stops at end of file on stdin.
        insecure: Whether the part may listen on a non-loopback address without
            authentication.
    """

    folder: Path
    models_folder: Path
    profile: str
    config_files: tuple[ConfigFile, ...]
    flags: list[str]
    address: str | None
    port_file: Path | None
    exit_with_parent: bool
    insecure: bool

    def settings(self, name: str, settings: type[SettingsT]) -> SettingsT:
        """Loads the section `name` of services.yaml; flags apply only to the part's own section."""
        own = [file.section("services", name) for file in self.config_files]
        if name != "shared":
            own += [flag_layer(flag) for flag in self.flags]
            if self.address is not None:
                own.append(Layer("--address", {"address": self.address}))
        return load_section(self.folder, self.profile, name, settings, own)


def load_section(
    folder: Path, profile: str, name: str, settings: type[SettingsT], flags: Sequence[Layer] = ()
) -> SettingsT:
    """Loads a section of services.yaml, and checks it in all profiles in `folder`.

    Args:
        folder: Config folder.
        profile: The active profile.
        name: Name of the section.
        settings: The section's class.
        flags: Layers that override all others.
    """
    layers = layers_of(folder, "services.yaml", "services", profile, (name,))
    for other in profiles_to_check(folder):
        layer = load_profile(folder, other)
        data = (layer.data.get("services") or {}).get(name) or {}
        load(settings, [layers[0], Layer(layer.source, data)])
    return load(settings, [*layers, *flags])


def parse_arguments(
    name: str,
    arguments: list[str] | None = None,
    *,
    own: Sequence[argparse.ArgumentParser] = (),
) -> Invocation:
    """Parses the command-line options that all parts share.

    Args:
        name: The part.
        arguments: None = those of this process.
        own: Parsers of the part's own options, for `--help`; the part reads them itself.
    """
    parser = argparse.ArgumentParser(prog=f"bestshot serve {name}", allow_abbrev=False, parents=own)
    parser.add_argument("--address", help="host:port to listen on; port 0 picks a free one")
    parser.add_argument("--config-dir", type=Path, help="folder with services.yaml and so on")
    parser.add_argument(
        "--profile", default=profile_of_environment(), help="profile from configs/profiles"
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="YAML file like those in configs/profiles that overrides the profile; can be repeated",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"override a key in the `{name}` section of services.yaml",
    )
    parser.add_argument("--port-file", type=Path, help="write the bound address to this file")
    parser.add_argument(
        "--exit-with-parent", action="store_true", help="stop at end of file on stdin"
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="listen on non-loopback addresses without authentication",
    )
    parsed = parser.parse_args(arguments)
    folder = config_dir(parsed.config_dir)
    if parsed.profile is None:
        check_default_profile(folder, DEFAULT_PROFILE)
    return Invocation(
        folder=folder,
        models_folder=models_dir(),
        profile=parsed.profile or DEFAULT_PROFILE,
        config_files=tuple(_read_own_file(name, path) for path in parsed.config),
        flags=parsed.set,
        address=parsed.address,
        port_file=parsed.port_file,
        exit_with_parent=parsed.exit_with_parent,
        insecure=parsed.insecure,
    )


def _read_own_file(name: str, path: Path) -> ConfigFile:
    """Reads a --config file, which must have a section that this part uses."""
    file = read_config_file(path)
    if name != "orchestrator" and not file.section("services").data:
        raise ConfigError(
            f"{path} has no `services` section, the only one that {name} reads: pass run settings "
            f"to `bestshot serve orchestrator`, `bestshot up` or `bestshot curate`"
        )
    return file
