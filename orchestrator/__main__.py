"""Starts the orchestrator."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from bestshot.orchestrator.v1 import orchestrator_pb2_grpc
from sqlalchemy import Engine

from orchestrator.clients.webhooks import Webhooks
from orchestrator.config import OrchestratorSettings, PipelineConfig
from orchestrator.data_folder import data_folder
from orchestrator.storage.database import (
    is_shared,
    lock_folder,
    open_database,
    open_postgresql,
)
from orchestrator.storage.uploads import remove_abandoned_uploads
from orchestrator.transport.build import Orchestrator, build_orchestrator
from services.common.config.sections import Invocation, SharedSettings, parse_arguments
from services.common.errors import EXIT_CONFIG, EXIT_FAILED, BestshotError, ConfigError
from services.common.process.log import configure_logging
from services.common.process.metrics import Metrics
from services.common.process.signals import split_address
from services.common.process.tracing import tracing
from services.common.rpc.http import HttpServer
from services.common.rpc.server import Server, ServerOptions, serve_until_stopped, server_options

logger = logging.getLogger(__name__)

SHARED_UPLOAD_S = 24 * 3600.0
"""An upload that has been idle this long belongs to no other orchestrator with the same folder."""
SERVICE_NAME = "bestshot.orchestrator.v1.OrchestratorService"


def main() -> None:
    """Runs the orchestrator in this process.

    If a setting is invalid or the database unusable, the process ends with a one-line error and
    exit code 2; if the data folder is in use, with exit code 1.
    """
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--data", type=Path, help="data folder, with the database and its lock")
    parsed, _ = own.parse_known_args()
    try:
        folder = data_folder(parsed.data)  # first, because it contains profiles
        invocation = parse_arguments("orchestrator", own=[own])
        shared = invocation.settings("shared", SharedSettings)
        settings = invocation.settings("orchestrator", OrchestratorSettings)
        layers = [file.section("pipeline") for file in invocation.config_files]
        config = PipelineConfig(invocation.folder, invocation.profile, layers)
        configure_logging(shared.log_level, shared.log_format, "orchestrator")
        with (
            open_store(settings, folder) as engine,
            tracing("orchestrator", shared.tracing_endpoint),
        ):
            asyncio.run(serve(invocation, shared, settings, config, folder, engine))
    except BestshotError as error:
        print(f"error: orchestrator: {error.message}", file=sys.stderr)
        code = EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
        raise SystemExit(code) from None


@contextlib.contextmanager
def open_store(settings: OrchestratorSettings, folder: Path) -> Iterator[Engine]:
    """Opens the database: PostgreSQL if a URL is set, else SQLite in the locked data folder."""
    with contextlib.ExitStack() as stack:
        if settings.database_url is None:
            stack.enter_context(contextlib.closing(lock_folder(folder)))
            engine = open_database(folder)
        else:
            engine = open_postgresql(settings.database_url, settings.database_password_file)
        stack.callback(engine.dispose)
        yield engine


def make_webhooks(settings: OrchestratorSettings) -> Webhooks | None:
    """Builds the webhook sender, if there are addresses to call.

    Raises:
        ConfigError: There is no secret for the signatures.
    """
    if not settings.webhook_urls:
        return None
    if settings.webhook_secret_file is None:
        raise ConfigError(
            "orchestrator.webhook_urls requires orchestrator.webhook_secret_file, whose secret "
            "signs the requests"
        )
    return Webhooks(settings.webhook_urls, settings.webhook_secret_file)


@contextlib.asynccontextmanager
async def serve_json(
    parts: Orchestrator,
    shared: SharedSettings,
    address: str | None,
    options: ServerOptions,
) -> AsyncIterator[None]:
    """Serves the JSON API within the block, if it has an address.

    Raises:
        ConfigError: The server cannot listen on the address, or would be reachable by anyone.
    """
    if address is None:
        yield
        return
    # imported only here, because the import takes 0.2 s
    from orchestrator.transport.json_api import JsonApi, build_json_app
    from orchestrator.transport.problems import PROBLEM_TYPE

    api = JsonApi(parts.reader, parts.curator)
    options.check_host(split_address(address)[0])
    has_tokens = shared.tokens_file is not None
    app = build_json_app(
        api,
        parts.servicer,
        options.authorize,
        has_tokens=has_tokens,
        max_concurrent_calls=options.max_concurrent_calls,
    )
    http = HttpServer(
        app,
        address=address,
        key="orchestrator.http_address",
        tls=shared.tls,
        allowed_hosts=shared.allowed_hosts,
        is_for_browsers=False,
        problem_type=PROBLEM_TYPE,
    )
    await http.start()
    logger.info("orchestrator is listening for JSON on %s", http.address)
    try:
        yield
    finally:
        http.request_stop()
        await http.wait()


async def serve(
    invocation: Invocation,
    shared: SharedSettings,
    settings: OrchestratorSettings,
    config: PipelineConfig,
    folder: Path,
    engine: Engine,
) -> None:
    """Connects all parts and serves until SIGTERM or SIGINT.

    New calls are then refused, calls in progress have a while to finish (`Server.request_stop`),
    and a run in progress returns to the queue (`Worker._carry_out`). The next orchestrator resumes
    it, unless `resume_runs` is false (`SqlRunQueue.recover`).
    """
    metrics = Metrics()
    options = server_options(shared, insecure=invocation.insecure)
    webhooks = make_webhooks(settings)
    parts = build_orchestrator(
        engine,
        invocation.folder,
        shared,
        settings,
        config,
        folder,
        metrics.registry,
        announce=webhooks.announce if webhooks else None,
    )
    if is_shared(engine):
        remove_abandoned_uploads(folder, parts.store.album_folders, untouched_s=SHARED_UPLOAD_S)
    else:
        remove_abandoned_uploads(folder, parts.store.album_folders, untouched_s=0)
        parts.queue.recover()
    server = Server(
        address=settings.address,
        key="orchestrator.address",
        service_names=[SERVICE_NAME],
        register=lambda grpc_server: (
            orchestrator_pb2_grpc.add_OrchestratorServiceServicer_to_server(
                parts.servicer, grpc_server
            )
        ),
        metrics=metrics,
        options=options,
    )
    working = asyncio.ensure_future(parts.worker.work())
    working.add_done_callback(lambda _: server.stop_at_once())
    try:
        with metrics.serve(settings.metrics_address, is_local_only=options.is_local_only):
            async with serve_json(parts, shared, settings.http_address, options):
                await serve_until_stopped(
                    server,
                    name="orchestrator",
                    port_file=invocation.port_file,
                    exit_with_parent=invocation.exit_with_parent,
                )
    finally:
        working.cancel()
        await asyncio.wait([working])
        for caller in parts.callers:
            await caller.close()
        if webhooks is not None:
            await webhooks.close()
    if not working.cancelled():
        working.result()  # raises the error that ended the worker, if any


if __name__ == "__main__":
    main()
