"""Starts the web UI."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys

from services.common.config.sections import Invocation, SharedSettings, parse_arguments
from services.common.errors import EXIT_CONFIG, ConfigError
from services.common.process.log import configure_logging
from services.common.process.signals import (
    check_loopback,
    install_stop_handlers,
    split_address,
    write_address,
)
from services.common.process.tracing import tracing
from services.common.rpc.channels import client_options
from services.common.rpc.http import HttpServer
from services.common.rpc.tls import check_tls
from services.common.temporary import temporary_folder
from ui.settings import UiSettings, read_login

logger = logging.getLogger(__name__)


def main() -> None:
    """Runs the UI in this process; an invalid setting ends it with one line and exit code 2."""
    try:
        invocation = parse_arguments("ui")
        shared = invocation.settings("shared", SharedSettings)
        settings = invocation.settings("ui", UiSettings)
        configure_logging(shared.log_level, shared.log_format, "ui")
        with (
            temporary_folder("bestshot-ui-") as folder,
            tracing("ui", shared.tracing_endpoint),
        ):
            os.environ["GRADIO_TEMP_DIR"] = str(folder)  # holds uploads until they are forwarded
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            # Gradio would compute usage statistics with pandas after every event
            os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(sys.maxsize)
            asyncio.run(serve(invocation, shared, settings))
    except ConfigError as error:
        print(f"error: ui: {error.message}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None


async def serve(invocation: Invocation, shared: SharedSettings, settings: UiSettings) -> None:
    """Connects all parts and serves until stopped."""
    check_tls(shared.tls)
    login = read_login(settings)
    host, _ = split_address(settings.address)
    if login is None and not invocation.insecure:
        check_loopback(host)
    # imported late, because Gradio takes seconds to load and invalid settings are reported first
    from ui.client import Orchestrator
    from ui.server import build_server

    api = Orchestrator(
        settings.orchestrator_address,
        settings.call_timeout_s,
        client_options(shared),
        login.username if login else "",
    )
    async with contextlib.aclosing(api):
        server = HttpServer(
            build_server(api, login, settings.max_upload_mb),
            address=settings.address,
            key="ui.address",
            tls=shared.tls,
            allowed_hosts=shared.allowed_hosts,
            is_for_browsers=True,
        )
        at_parents_end = server.request_stop if invocation.exit_with_parent else None
        install_stop_handlers(server.request_stop, at_parents_end)
        await server.start()
        logger.info("ui is listening on %s (pid %d)", server.address, os.getpid())
        write_address(invocation.port_file, server.address)
        await server.wait()
    logger.info("ui stopped")


if __name__ == "__main__":
    main()
