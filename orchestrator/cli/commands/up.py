"""`bestshot up`, `serve` and `token`: commands for operators."""

from __future__ import annotations

import importlib.util
import os
import re
from datetime import timedelta
from typing import Annotated

import typer
from rich.markup import escape

from orchestrator.cli.options import ConfigDir, ConfigFiles, Data, Offline
from orchestrator.cli.output import AsJson, OnlyToken, open_console, print_json, print_lines
from orchestrator.cli.parts import MODEL_SERVICES, PARTS, config_flags, part_command
from orchestrator.data_folder import data_folder
from services.common.config.folders import config_dir, profile_of_environment
from services.common.errors import ConfigError
from services.common.platform.processes import defer_signals
from services.common.rpc.scopes import ScopeName

MAX_DEATHS = 8
"""Because of the pauses between restarts, this many deaths take a minute. By then, a photo that
crashes a service has made its run fail (`service_wait_s`), and everything else continues."""

app = typer.Typer()

Profile = Annotated[
    str | None,
    typer.Option(
        help="Profile from configs/profiles. Default: BESTSHOT_PROFILE, or standard (its "
        "networks are downloaded on first use), or builtin if they are unavailable."
    ),
]


@app.command()
def up(
    profile: Profile = None,
    config: ConfigFiles = None,
    config_dir_: ConfigDir = None,
    data: Data = None,
    ui: Annotated[bool, typer.Option(help="Also run the web UI.")] = True,
    offline: Offline = False,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Listen on non-loopback addresses without authentication.",
        ),
    ] = False,
) -> None:
    """Run everything until Ctrl-C: the four model services, the orchestrator and the web UI.

    Their addresses are set in configs/services.yaml. A part that dies is restarted; if it keeps
    dying, the command exits and shows its last log lines.
    """
    if ui and importlib.util.find_spec("gradio") is None:
        raise ConfigError(
            "the web UI is not installed: install 'bestshot[ui]', or leave it out with --no-ui"
        )
    from orchestrator.cli.launcher import launcher
    from orchestrator.cli.profile_choice import choose_profile
    from orchestrator.cli.supervisor import Supervisor, interrupt_on_sigterm
    from orchestrator.config import OrchestratorSettings
    from services.common.config.layers import read_config_file
    from services.common.config.sections import SharedSettings, load_section

    launcher.fork()
    console = open_console()
    folder = data_folder(data)
    configs = config_dir(config_dir_)
    files = [read_config_file(path) for path in config or []]
    layers = [file.section("services", "shared") for file in files]
    with interrupt_on_sigterm():
        chosen = choose_profile(
            configs,
            files,
            profile or profile_of_environment(),
            is_offline=offline,
            console=console,
        )
    shared = load_section(configs, chosen, "shared", SharedSettings, layers)
    scheme = "http" if shared.tls.certificate_file is None else "https"
    own_layers = [file.section("services", "orchestrator") for file in files]
    json_address = load_section(
        configs, chosen, "orchestrator", OrchestratorSettings, own_layers
    ).http_address
    common = ["--config-dir", str(configs), "--profile", chosen]
    supervisor = Supervisor(
        folder / "logs",
        [*common, *(["--insecure"] if insecure else [])],
        max_deaths=MAX_DEATHS,
        report=lambda line: console.print(escape(line)),
    )
    with interrupt_on_sigterm():
        try:
            for name in MODEL_SERVICES:
                supervisor.start(name, config_flags(name, files))
            for name in MODEL_SERVICES:
                console.print(f"{name:<13} {supervisor.wait_for_address(name)}")
            flags = config_flags("orchestrator", files)
            supervisor.start("orchestrator", ["--data", str(folder), *flags])
            address = supervisor.wait_for_address("orchestrator")
            console.print(f"{'orchestrator':<13} {address}")
            if json_address is not None:
                console.print(f"{'JSON API':<13} {scheme}://{json_address}/api/v1/docs")
            if ui:
                supervisor.start("ui", config_flags("ui", files))
                page = f"{scheme}://{supervisor.wait_for_address('ui')}"
                console.print(f"{'ui':<13} {page}")
            console.print(f"logs are in {folder / 'logs'}")
            opening = f"open {page} in a browser; " if ui else ""
            console.print(f"{opening}press Ctrl-C to stop")
            if failure := supervisor.wait_for_failure():
                raise failure
        finally:
            supervisor.stop()


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,  # options after PART, even --help, belong to the part
    }
)
def serve(
    context: typer.Context,
    part: Annotated[str, typer.Argument(help=f"One of {', '.join(PARTS)}.")],
) -> None:
    """Run one part in the foreground, as the containers do.

    `bestshot serve PART --help` lists its options.
    """
    if part not in PARTS:
        raise ConfigError(f"unknown part {part!r}; choose one of {', '.join(PARTS)}")
    command = part_command(part, context.args)
    with defer_signals():  # until the part can end without a traceback
        os.execv(command[0], command)  # noqa: S606


@app.command()
def token(
    name: Annotated[
        str, typer.Argument(help="Name of the token's owner: letters, digits, - and _.")
    ],
    scope: Annotated[
        ScopeName, typer.Option(help="What the token allows; each scope includes those before it.")
    ],
    days: Annotated[
        int | None,
        typer.Option(min=1, max=36500, help="Days until the token expires. Default: never."),
    ] = None,
    as_json: AsJson = False,
    quiet: OnlyToken = False,
) -> None:
    """Create a token, and print it with its entry for shared.tokens_file."""
    if not re.fullmatch(r"[\w-]+", name):
        raise ConfigError(f"a name may contain only letters, digits, - and _ (got {name!r})")
    from orchestrator.records import utc_now
    from services.common.rpc.auth import new_token, token_digest

    secret = new_token()
    entry = {"sha256": token_digest(secret), "scope": scope}
    if days is not None:
        entry["expires"] = f"{(utc_now() + timedelta(days)):%Y-%m-%dT%H:%M:%SZ}"
    if as_json:
        print_json({"token": secret, "tokens": {name: entry}})
        return
    if quiet:
        print_lines([secret])
        return
    console = open_console()
    console.print(f"token, for the caller's shared.token_file:\n{secret}\n")
    console.print("for the server's shared.tokens_file, under `tokens:`:")
    fields = ", ".join(f"{key}: {value}" for key, value in entry.items())
    console.print(f"  {name}: {{{fields}}}")
