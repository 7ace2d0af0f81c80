"""Settings of the Siamese service."""

from __future__ import annotations

from services.common.service_config import OnnxServiceSettings


class SiameseSettings(OnnxServiceSettings):
    """Section `siamese` of services.yaml."""
