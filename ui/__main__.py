"""Starts the web UI."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import tempfile

from services.common.channels import client_options
from services.common.errors import EXIT_CONFIG, ConfigError
from services.common.log import configure_logging
from services.common.process import check_loopback, split_address, stop_when_told, write_address
from services.common.service_config import Invocation, SharedSettings, parse_arguments
from services.common.tls import check_tls
from services.common.tracing import tracing
from ui.settings import UiSettings, read_login

logger = logging.getLogger(__name__)


def main() -> None:
    """Runs the UI as this process; a wrong setting is one line and exit code 2."""
    try:
        invocation = parse_arguments("ui")
        shared = invocation.settings("shared", SharedSettings)
        settings = invocation.settings("ui", UiSettings)
        configure_logging(shared.log_level, shared.log_format, "ui")
        with (
            tempfile.TemporaryDirectory(prefix="bestshot-ui-") as folder,
            tracing("ui", shared.tracing_endpoint),
        ):
            os.environ["GRADIO_TEMP_DIR"] = folder  # uploads, until they are handed on
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            asyncio.run(serve(invocation, shared, settings))
    except ConfigError as error:
        print(f"error: ui: {error.message}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None


async def serve(invocation: Invocation, shared: SharedSettings, settings: UiSettings) -> None:
    """Wires everything and serves until stopped."""
    import uvicorn

    from ui.client import Orchestrator
    from ui.server import build_server

    check_tls(shared.tls)
    login = read_login(settings)
    host, _ = split_address(settings.address)
    if login is None and not invocation.insecure:
        check_loopback(host)
    listener = _bind(settings.address)
    address = f"{host}:{listener.getsockname()[1]}"
    api = Orchestrator(
        settings.orchestrator_address, settings.call_timeout_s, client_options(shared)
    )
    async with contextlib.aclosing(api):
        config = uvicorn.Config(
            build_server(api, login, settings.max_upload_mb),
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,
            ssl_certfile=shared.tls.certificate_file,
            ssl_keyfile=shared.tls.key_file,
        )
        server = uvicorn.Server(config)
        # it is stopped as all parts are
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]

        def request_stop() -> None:
            server.should_exit = True

        stop_when_told(request_stop, request_stop if invocation.exit_with_parent else None)
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        logger.info("ui serves on %s (pid %d)", address, os.getpid())
        write_address(invocation.port_file, address)
        await serving
    logger.info("ui has stopped")


def _bind(address: str) -> socket.socket:
    host, port = split_address(address)
    if not port:
        raise ConfigError(f"address {address!r} is not of the form host:port")
    try:
        return socket.create_server((host, int(port)))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {address}: {error.strerror}. Stop the other program or choose "
            f"another address (ui.address)"
        ) from error


if __name__ == "__main__":
    main()
