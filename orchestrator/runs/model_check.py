"""Checks that the services use the models that a run needs."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from pathlib import Path

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_fixed

import models
from orchestrator.config import PipelineSettings
from orchestrator.ports import ModelIdentity, ModelPort, ModelPorts
from orchestrator.records import Run
from orchestrator.runs.pipeline import Services
from orchestrator.storage.people_store import IDENTITY_ROLE
from services.common.config.folders import models_dir
from services.common.errors import BestshotError, FailedPreconditionError, UnavailableError
from services.common.user_files import open_regular

logger = logging.getLogger(__name__)

BUILTIN_FOLDER = Path(models.__file__).parent / "builtin"
MAX_CHECKPOINT_BYTES = 2**32
ANSWER_WAIT_S = 10.0
"""How long a report on the services waits for one that does not respond."""
RECONNECT_S = 1.5
"""How long to wait for services that are down: channels try to reconnect every second."""


async def find_services(ports: ModelPorts, settings: PipelineSettings) -> Services:
    """Asks each service required by the settings which model it serves.

    Waits briefly for services that are still starting.

    Raises:
        FailedPreconditionError: A Siamese model is needed, but none or a different one is served.
        UnavailableError: A service is down.
    """
    attempts = AsyncRetrying(
        retry=retry_if_exception(_is_down),
        wait=wait_fixed(0.3),
        stop=stop_after_delay(RECONNECT_S),
        reraise=True,
    )
    return await attempts(_find_services_now, ports, settings)


def check_models(run: Run, services: Services) -> None:
    """Refuses models that differ from those that the run recorded.

    Raises:
        FailedPreconditionError: A model differs.
    """
    for role, model in services.models.items():
        if role in run.models and run.models[role]["digest"] != model.digest:
            raise FailedPreconditionError(
                f"the {_service_of(role)} service now serves {model.id} with a different digest "
                f"than when the run was started; start a new run"
            )
    if IDENTITY_ROLE in run.models.keys() ^ services.models.keys():
        now = "now has an" if IDENTITY_ROLE in services.models else "no longer has the"
        raise FailedPreconditionError(
            f"the face service {now} identity model, unlike when the run was started; start a new "
            f"run"
        )


async def ask_models(ports: ModelPorts) -> dict[str, ModelIdentity | BestshotError]:
    """Asks every model service which model it serves; by role, the model or the error.

    A service that is frozen is reported after a while: calls that wait for it would use up the few
    connections that a browser opens, and the page would stand still.
    """
    by_role: dict[str, ModelPort] = {
        "embedding": ports.embedder,
        "quality": ports.scorer,
        "face": ports.analyzer,
        "siamese": ports.comparer,
    }
    answers = await asyncio.gather(
        *(_ask(role, port) for role, port in by_role.items()), return_exceptions=True
    )
    found: dict[str, ModelIdentity | BestshotError] = {}
    for role, answer in zip(by_role, answers, strict=True):
        if isinstance(answer, BaseException) and not isinstance(answer, BestshotError):
            raise answer
        found[role] = answer
    return found


async def _ask(role: str, port: ModelPort) -> ModelIdentity:
    try:
        async with asyncio.timeout(ANSWER_WAIT_S):
            return await port.model()
    except TimeoutError:
        raise UnavailableError(f"the {role} service does not respond") from None


async def _find_services_now(ports: ModelPorts, settings: PipelineSettings) -> Services:
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
                f"select_best.siamese.enabled is true, but no Siamese model is available: "
                f"{error.message}. Start the service, or set select_best.siamese.enabled=false"
            ) from error
        if siamese.checkpoint_path is not None:
            await asyncio.to_thread(
                _check_checkpoint, siamese.checkpoint_path, models["siamese"].file_digests
            )
    identity = await ports.analyzer.identity_model() if settings.people.enabled else None
    if identity is not None:
        models[IDENTITY_ROLE] = identity.model
    elif use := settings.find_use_of_people():
        raise FailedPreconditionError(
            f"{use} needs a model that recognizes people, and the face service has none. Run "
            f"`bestshot models pull mobilefacenet` and restart the service, or change the setting"
        )
    return Services(
        ports.embedder,
        ports.scorer,
        ports.analyzer,
        ports.comparer,
        models,
        identity.same_person_similarity if identity else None,
    )


def _service_of(role: str) -> str:
    return "face" if role == IDENTITY_ROLE else role


def _is_down(error: BaseException) -> bool:
    return isinstance(error, UnavailableError) or isinstance(error.__cause__, UnavailableError)


def _check_checkpoint(path: Path, served: tuple[str, ...]) -> None:
    """Refuses a checkpoint_path unless the Siamese service has loaded that model file.

    Any caller may set it, so all failures have the same message, which reveals nothing about files.
    """
    try:
        is_served = _model_digest(path) in served
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: symlink loop
        logger.warning("select_best.siamese.checkpoint_path is not usable: %s", error)
        is_served = False
    if not is_served:
        raise FailedPreconditionError(
            "select_best.siamese.checkpoint_path: the Siamese service loaded a different model, or "
            "this is not a file in the models folder; name the model in models.yaml and in "
            "services.yaml (siamese.model), or set checkpoint_path to null"
        )


def _model_digest(path: Path) -> str:
    """Returns the hex sha256 of a file in the models folder; paths may be relative to it.

    Raises:
        OSError, ValueError, RuntimeError: The file is missing, not regular, or too large.
    """
    for folder in (models_dir(), BUILTIN_FOLDER):
        found = (folder / path.expanduser()).resolve()
        if found.is_relative_to(folder.resolve()) and found.exists():
            break
    else:
        raise ValueError(f"{path} is not in the models folder {models_dir()}")
    with open_regular(found) as opened:
        if os.fstat(opened.fileno()).st_size > MAX_CHECKPOINT_BYTES:
            raise ValueError(f"{path} is larger than {MAX_CHECKPOINT_BYTES} bytes")
        return hashlib.file_digest(opened, "sha256").hexdigest()
