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
)
from services.common.config.tls import TlsSettings

Address = Annotated[str, Field(pattern=r"^\S+:\d{1,5}$")]
Count = Annotated[int, Field(ge=1)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]


class SharedSettings(Settings):
    """What clients and servers must agree on.

    Attributes:
        log_level: debug, info, warning or error.
        log_format: Lines of text, or of JSON.
        max_message_bytes: Largest gRPC message sent or taken.
        max_batch_count: Most pictures or pairs in one call.
        max_image_pixels: Most pixels that an image file may announce.
        max_connection_age_s: Seconds after which a model service asks a client to connect anew;
            None = never.
        max_concurrent_calls: Most calls that a server has under way, and that one connection may.
        allowed_hosts: Host names, without port, by which clients call the HTTP servers besides
            their address and loopback's.
        tls: Certificates.
        tokens_file: Tokens that a server lets in; None = it asks for none.
        token_file: Its first line is the token that a client sends; None = it sends none.
        allow_plaintext_token: Whether tokens may be sent between machines without TLS.
        tracing_endpoint: "host:port" of an OpenTelemetry collector (OTLP over gRPC); None = no
            tracing.
    """

    log_level: Literal["debug", "info", "warning", "error"]
    log_format: Literal["text", "json"]
    max_message_bytes: Count
    max_batch_count: Count
    max_image_pixels: Count
    max_connection_age_s: Count | None
    max_concurrent_calls: Count
    allowed_hosts: list[HostName]
    tls: TlsSettings
    tokens_file: UserPath | None
    token_file: UserPath | None
    allow_plaintext_token: bool
    tracing_endpoint: Address | None


class ModelServiceSettings(Settings):
    """What every model service has.

    Attributes:
        address: "host:port" to listen on; port 0 takes a free one.
        metrics_address: "host:port" that answers GET /metrics; None = nowhere.
        model: Id in models.yaml.
        fallback: What serves where the files of `model` are missing: "builtin", or "none" = the
            service does not start.
        worker_threads: Pictures prepared, and inferences run, at a time.
        preferred_batch_count, max_queue_delay_ms, max_queue_count: As in Batching.
        max_decode_mb: Most memory for all decodes of encoded pictures in progress, in MB.
    """

    address: Address
    metrics_address: Address | None
    model: str
    fallback: Literal["none", "builtin"]
    worker_threads: Count
    preferred_batch_count: Count
    max_queue_delay_ms: Annotated[float, Field(ge=0)]
    max_queue_count: Count
    max_decode_mb: Count


class OnnxServiceSettings(ModelServiceSettings):
    """A model service whose model is an ONNX graph.

    Attributes:
        execution_providers, strict_providers, device_id, gpu_memory_limit_mb, intra_op_threads:
            As in SessionOptions.
    """

    execution_providers: Annotated[list[str], Field(min_length=1)]
    strict_providers: bool
    device_id: Annotated[int, Field(ge=0)]
    gpu_memory_limit_mb: Count | None
    intra_op_threads: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Invocation:
    """What a part was started with.

    Attributes:
        folder: Config folder.
        models_folder: Has the models that were pulled.
        profile: Profile in force.
        flags: Layers of --set.
        address: Overrides the config's address.
        port_file: Gets the bound address once the part serves.
        exit_with_parent: Whether the end of stdin stops the part.
        insecure: Whether it may listen beyond loopback without authentication.
    """

    folder: Path
    models_folder: Path
    profile: str
    flags: list[str]
    address: str | None
    port_file: Path | None
    exit_with_parent: bool
    insecure: bool

    def settings(self, name: str, settings: type[SettingsT]) -> SettingsT:
        """Loads the section `name` of services.yaml, with the flags where it is the part's own."""
        own: list[Layer] = []
        if name != "shared":
            own = [flag_layer(flag) for flag in self.flags]
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
        help="listen beyond loopback though nobody is asked for a token or a certificate",
    )
    parsed = parser.parse_args(arguments)
    return Invocation(
        folder=config_dir(parsed.config_dir),
        models_folder=models_dir(),
        profile=parsed.profile,
        flags=parsed.set,
        address=parsed.address,
        port_file=parsed.port_file,
        exit_with_parent=parsed.exit_with_parent,
        insecure=parsed.insecure,
    )
