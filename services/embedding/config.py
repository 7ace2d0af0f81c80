"""Settings of the embedding service."""

from __future__ import annotations

from services.common.service_config import OnnxServiceSettings


class EmbeddingSettings(OnnxServiceSettings):
    """Section `embedding` of services.yaml."""
