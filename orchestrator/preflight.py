"""Which models serve, and whether they are the ones that a run needs."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_fixed

from orchestrator.config import PipelineSettings
from orchestrator.pipeline import Services
from orchestrator.ports import ModelIdentity, ModelPort, ModelPorts
from orchestrator.results import Run
from services.common.errors import BestshotError, FailedPreconditionError, UnavailableError

RECONNECT_S = 1.5
"""A channel tries every second to find a service again."""


async def find_services(ports: ModelPorts, settings: PipelineSettings) -> Services:
    """Asks every service that the settings need which model it serves.

    One that has just started is found within a moment.

    Raises:
        FailedPreconditionError: A Siamese model is needed, and none serves or another one does.
        UnavailableError: A service is down.
    """
    attempts = AsyncRetrying(
        retry=retry_if_exception(_is_down),
        wait=wait_fixed(0.3),
        stop=stop_after_delay(RECONNECT_S),
        reraise=True,
    )
    return await attempts(_services_now, ports, settings)


def check_models(run: Run, services: Services) -> None:
    """Refuses models that are not the ones that the run was started with.

    Raises:
        FailedPreconditionError: One of them is not.
    """
    for role, model in services.models.items():
        if run.models[role]["digest"] != model.digest:
            raise FailedPreconditionError(
                f"the {role} service now serves {model.id} with another digest than when the "
                f"run was started; start a new run"
            )


async def served_models(ports: ModelPorts) -> dict[str, ModelIdentity | BestshotError]:
    """Asks every model service which model it serves; by role, the model or the error."""
    by_role: dict[str, ModelPort] = {
        "embedding": ports.embedder,
        "quality": ports.scorer,
        "face": ports.analyzer,
        "siamese": ports.comparer,
    }
    answers = await asyncio.gather(
        *(port.model() for port in by_role.values()), return_exceptions=True
    )
    found: dict[str, ModelIdentity | BestshotError] = {}
    for role, answer in zip(by_role, answers, strict=True):
        if isinstance(answer, BaseException) and not isinstance(answer, BestshotError):
            raise answer
        found[role] = answer
    return found


async def _services_now(ports: ModelPorts, settings: PipelineSettings) -> Services:
    models = {
        "embedding": await ports.embedder.model(),
        "quality": await ports.scorer.model(),
        "face": await ports.analyzer.model(),
    }
    siamese = settings.select_best.siamese
    if siamese.enabled:
        try:
            models["siamese"] = await ports.comparer.model()
        except BestshotError as error:
            raise FailedPreconditionError(
                f"select_best.siamese.enabled is true, but no Siamese model serves: "
                f"{error.message}. Start the service, or set select_best.siamese.enabled=false"
            ) from error
        if siamese.checkpoint_path is not None:
            await asyncio.to_thread(
                _check_checkpoint, siamese.checkpoint_path, models["siamese"].file_digests
            )
    return Services(ports.embedder, ports.scorer, ports.analyzer, ports.comparer, models)


def _is_down(error: BaseException) -> bool:
    return isinstance(error, UnavailableError) or isinstance(error.__cause__, UnavailableError)


def _check_checkpoint(path: Path, served: tuple[str, ...]) -> None:
    """Refuses a checkpoint_path that the Siamese service did not load."""
    try:
        digest = hashlib.sha256(path.expanduser().read_bytes()).hexdigest()
    except OSError as error:
        raise FailedPreconditionError(
            f"select_best.siamese.checkpoint_path: cannot read {path}: {error.strerror}"
        ) from error
    if digest not in served:
        raise FailedPreconditionError(
            f"select_best.siamese.checkpoint_path is {path} (sha256 {digest[:12]}...), but the "
            f"Siamese service loaded another model; name it in models.yaml and in "
            f"services.yaml (siamese.model), or set checkpoint_path to null"
        )
