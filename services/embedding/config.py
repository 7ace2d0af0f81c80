"""Settings of the embedding service."""

from __future__ import annotations

from services.common.config.sections import OnnxServiceSettings


class EmbeddingSettings(OnnxServiceSettings):
    """Section `embedding` of services.yaml."""
