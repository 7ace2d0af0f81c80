"""Settings of the face service."""

from __future__ import annotations

from services.common.service_config import OnnxServiceSettings


class FaceSettings(OnnxServiceSettings):
    """Section `face` of services.yaml."""
