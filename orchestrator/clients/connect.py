"""Creates a client for each model service, as configured in services.yaml."""

from __future__ import annotations

from pathlib import Path

from orchestrator.clients.calls import Patience, ServiceCaller
from orchestrator.clients.embedding import GrpcEmbedder
from orchestrator.clients.face import GrpcFaceAnalyzer
from orchestrator.clients.open_inference import (
    HostedModel,
    OpenInferenceClient,
    OpenInferenceComparer,
    OpenInferenceEmbedder,
)
from orchestrator.clients.quality import GrpcQualityScorer
from orchestrator.clients.siamese import GrpcPhotoComparer
from orchestrator.config import HostedEmbedding, HostedSiamese, OrchestratorSettings
from orchestrator.ports import Embedder, ModelPorts, PhotoComparer
from services.common.config.sections import SharedSettings
from services.common.errors import ConfigError
from services.common.inference.registry import Role, find_entry
from services.common.rpc.channels import client_options, service_name

_OPEN_INFERENCE = "inference.GRPCInferenceService"


def connect(
    config_folder: Path, shared: SharedSettings, settings: OrchestratorSettings
) -> tuple[list[ServiceCaller], ModelPorts]:
    """Opens a channel to every model service.

    Returns:
        The callers, which must be closed, and the ports that use them.

    Raises:
        ConfigError: A hosted model is composed of several or not in models.yaml, or a TLS or token
            file is invalid.
    """
    options = client_options(shared)
    patience = Patience(settings.call_timeout_s, settings.service_wait_s)
    callers: list[ServiceCaller] = []

    def open_address(name: str, address: str, service: str) -> ServiceCaller:
        callers.append(ServiceCaller(name, address, service, patience, options))
        return callers[-1]

    def open_caller(name: str, address: str) -> ServiceCaller:
        return open_address(name, address, service_name(name))

    def open_hosted(
        role: Role, address: str, wanted: HostedEmbedding | HostedSiamese
    ) -> OpenInferenceClient:
        entry = find_entry(config_folder, wanted.model, role)
        if entry.parts:
            raise ConfigError(
                f"orchestrator.{role}_open_inference: {wanted.model} is composed of several "
                f"models, which only a bestshot service can join; name a model with one graph"
            )
        graphs = wanted.model_dump(exclude={"model"})
        model = HostedModel(wanted.model, entry, graphs, shared.max_batch_count)
        return OpenInferenceClient(open_address(role.value, address, _OPEN_INFERENCE), model)

    embedder: Embedder
    if settings.embedding_open_inference is None:
        embedder = GrpcEmbedder(open_caller("embedding", settings.embedding_address))
    else:
        embedder = OpenInferenceEmbedder(
            open_hosted(
                Role.EMBEDDING, settings.embedding_address, settings.embedding_open_inference
            )
        )
    comparer: PhotoComparer
    if settings.siamese_open_inference is None:
        comparer = GrpcPhotoComparer(open_caller("siamese", settings.siamese_address))
    else:
        comparer = OpenInferenceComparer(
            open_hosted(Role.SIAMESE, settings.siamese_address, settings.siamese_open_inference)
        )
    ports = ModelPorts(
        embedder=embedder,
        scorer=GrpcQualityScorer(open_caller("quality", settings.quality_address)),
        analyzer=GrpcFaceAnalyzer(open_caller("face", settings.face_address)),
        comparer=comparer,
    )
    return callers, ports
