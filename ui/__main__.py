"""Starts the web UI."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import tempfile

from services.common.channels import open_channel
from services.common.errors import EXIT_CONFIG, ConfigError
from services.common.log import configure_logging
from services.common.process import split_address, stop_when_told, write_address
from services.common.service_config import Invocation, SharedSettings, parse_arguments
from ui.settings import UiSettings, read_login

logger = logging.getLogger(__name__)


def main() -> None:
    """Runs the UI as this process; a wrong setting is one line and exit code 2."""
    try:
        invocation = parse_arguments("ui")
        shared = invocation.settings("shared", SharedSettings)
        settings = invocation.settings("ui", UiSettings)
        configure_logging(shared.log_level)
        with tempfile.TemporaryDirectory(prefix="bestshot-ui-") as folder:
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

    login = read_login(settings)
    listener = _bind(settings.address)
    host, _ = split_address(settings.address)
    address = f"{host}:{listener.getsockname()[1]}"
    async with open_channel(
        settings.orchestrator_address, max_message_bytes=shared.max_message_bytes
    ) as channel:
        api = Orchestrator(channel, settings.orchestrator_address, settings.call_timeout_s)
        config = uvicorn.Config(
            build_server(api, login, settings.max_upload_mb),
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        # it is stopped as all parts are
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]

        def request_stop() -> None:
            server.should_exit = True

        stop_when_told(request_stop, exit_with_parent=invocation.exit_with_parent)
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        logger.info("ui serves on http://%s (pid %d)", address, os.getpid())
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
