"""Settings of the face service."""

from __future__ import annotations

from services.common.service_config import ModelServiceSettings


class FaceSettings(ModelServiceSettings):
    """Section `face` of services.yaml."""
