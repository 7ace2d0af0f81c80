"""Settings of the Siamese service."""

from __future__ import annotations

from services.common.config.sections import OnnxServiceSettings


class SiameseSettings(OnnxServiceSettings):
    """Section `siamese` of services.yaml."""
