"""Settings that all parts share: the `shared` section of services.yaml, and their command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from services.common.config.layers import (
    DEFAULT_PROFILE,
    ConfigFile,
    Layer,
    Settings,
    SettingsT,
    UserPath,
    config_dir,
    flag_layer,
    layers_of,
    load,
    load_profile,
    models_dir,
    profile_names,
    read_config_file,
)
from services.common.config.tls import TlsSettings

Address = Annotated[str, Field(pattern=r"^\S+:\d{1,5}$")]
Count = Annotated[int, Field(ge=1)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]


class SharedSettings(Settings):
    """Section `shared` of services.yaml: what clients and servers must agree on."""

    log_level: Literal["debug", "info", "warning", "error"]
    """`debug`, `info`, `warning` or `error`"""
    log_format: Literal["text", "json"]
    """`text`, or `json`: one object a line"""
    max_message_bytes: Count
    """largest gRPC message, the same for servers and clients"""
    max_batch_count: Count
    """most pictures or pairs of one call"""
    max_image_pixels: Count
    """most pixels that an image file may announce; checked in its header, before anything is
    decoded"""
    max_connection_age_s: Count | None
    """seconds after which a model service asks a client to reconnect, so that it finds replicas
    that have been added; `null` for never. Calls in progress are finished"""
    max_concurrent_calls: Count
    """most calls that a server has in progress; more are answered `RESOURCE_EXHAUSTED`. One
    connection may have as many"""
    allowed_hosts: list[HostName]
    """host names, without port, by which clients reach the page and the JSON mirror besides their
    address and loopback, such as an ingress's: `[photos.example.com]`. Requests for any other name
    are refused, so that no web site can reach them through a browser; IP addresses are accepted if
    a server listens beyond loopback"""
    tls: TlsSettings
    tokens_file: UserPath | None
    """YAML file of the tokens that are accepted, by name: `sha256` and `scope` (`read` < `run` <
    `admin`); `bestshot token` makes one. `null`: no token is required"""
    token_file: UserPath | None
    """file whose first line is the token that a part sends when it calls another; `null` for
    none"""
    allow_plaintext_token: bool
    """whether tokens may be sent between machines without TLS. `false`: a server with `tokens_file`
    and no certificate listens on loopback only, and a part with `token_file` and no `ca_file` calls
    loopback addresses and Unix sockets only"""
    tracing_endpoint: Address | None
    """`host:port` of an OpenTelemetry collector (OTLP over gRPC), with the extra `tracing`; `null`
    for no tracing"""


class ModelServiceSettings(Settings):
    """Section of one model service."""

    address: Address
    """`host:port` to listen on; port 0 picks a free one"""
    metrics_address: Address | None
    """`host:port` that answers `GET /metrics` for Prometheus; `null` for none. Anyone who can reach
    it can read the metrics; beyond loopback it needs what the part itself needs there: tokens,
    client certificates or `--insecure`"""
    model: str
    """id in `models.yaml`"""
    fallback: Literal["none", "builtin"]
    """what the service does if the files of the model are missing: `builtin` serves the builtin
    model of that role, which the run and the gallery then report; with `none` it does not start"""
    worker_threads: Count
    """pictures prepared, and inferences run, at a time"""
    preferred_batch_count: Count
    """most items of one inference; above 1 the items of several callers share one, which pays on a
    GPU, and the last bits of a score can depend on what else is in its batch. The formulas and
    the cascades take one picture at a time regardless"""
    max_queue_delay_ms: Annotated[float, Field(ge=0)]
    """how long an inference that is not full waits for more items; 0: it takes what is already
    queued"""
    max_queue_count: Count
    """most items that may be queued or in progress; a call that would exceed it waits its turn,
    first come, first served, and one with more items than that gets `RESOURCE_EXHAUSTED`. The
    requests held in memory are also limited, to four times `shared.max_message_bytes`"""
    max_decode_mb: Count
    """most memory, in MB, for all photos that the part decodes at the same time; a large photo
    waits until it fits, and one that needs more than the whole limit is unreadable. 2,200 is enough
    for 200 megapixels of JPEG or HEIC; the manifests' memory limits leave room for these values, so
    raise both together"""
    execution_providers: Annotated[list[str], Field(min_length=1)]
    """of ONNX Runtime (formulas and cascades need none), in order of preference; those that the
    machine lacks are skipped with a warning, and `GetModelInfo` and the run report which serve. For
    TensorRT: `[TensorrtExecutionProvider, CUDAExecutionProvider, CPUExecutionProvider]`; its
    engines are kept in the user's cache folder"""
    strict_providers: bool
    """whether a provider that cannot be used stops the start instead"""
    device_id: Annotated[int, Field(ge=0)]
    """number of the GPU"""
    gpu_memory_limit_mb: Count | None
    """most GPU memory that CUDA may take for one graph, and TensorRT as its workspace, in MiB;
    `null` for no limit"""
    intra_op_threads: Annotated[int, Field(ge=0)]
    """threads of one inference; 0: one per core"""


@dataclass(frozen=True)
class Invocation:
    """What a part was started with.

    Attributes:
        folder: Config folder.
        models_folder: Has the models that were pulled.
        profile: Profile in force.
        config_files: Of --config.
        flags: Assignments of --set.
        address: Overrides the config's address.
        port_file: Receives the bound address once the part serves.
        exit_with_parent: Whether the end of stdin stops the part.
        insecure: Whether it may listen beyond loopback without authentication.
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
        """Loads the section `name` of services.yaml, with the flags if it is the part's own."""
        own = [file.section("services", name) for file in self.config_files]
        if name != "shared":
            own += [flag_layer(flag) for flag in self.flags]
            if self.address is not None:
                own.append(Layer("--address", {"address": self.address}))
        return load_section(self.folder, self.profile, name, settings, own)


def load_section(
    folder: Path, profile: str, name: str, settings: type[SettingsT], flags: Sequence[Layer] = ()
) -> SettingsT:
    """Loads a section of services.yaml, and checks it in the profiles not in force.

    Args:
        folder: Config folder.
        profile: Profile in force.
        name: Of the section.
        settings: Its class.
        flags: Layers on top.
    """
    layers = layers_of(folder, "services.yaml", "services", profile, (name,))
    for other in profile_names(folder):
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
    """Reads the command line that all parts have in common.

    Args:
        name: The part.
        arguments: None = those of this process.
        own: Parsers of the part's own options, for `--help`; the part reads them itself.
    """
    parser = argparse.ArgumentParser(prog=f"bestshot serve {name}", allow_abbrev=False, parents=own)
    parser.add_argument("--address", help="host:port to listen on; port 0 takes a free one")
    parser.add_argument("--config-dir", type=Path, help="folder with services.yaml and so on")
    parser.add_argument("--profile", default=DEFAULT_PROFILE, help="profile of configs/profiles")
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="YAML file like one of configs/profiles, on top of the profile; repeatable",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"override a key of the section `{name}` of services.yaml",
    )
    parser.add_argument("--port-file", type=Path, help="write the bound address into this file")
    parser.add_argument(
        "--exit-with-parent", action="store_true", help="stop when stdin reaches its end"
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="listen on non-loopback addresses without authentication",
    )
    parsed = parser.parse_args(arguments)
    return Invocation(
        folder=config_dir(parsed.config_dir),
        models_folder=models_dir(),
        profile=parsed.profile,
        config_files=tuple(read_config_file(path) for path in parsed.config),
        flags=parsed.set,
        address=parsed.address,
        port_file=parsed.port_file,
        exit_with_parent=parsed.exit_with_parent,
        insecure=parsed.insecure,
    )
