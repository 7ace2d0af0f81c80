"""Settings of the face service."""

from __future__ import annotations

from services.common.config.sections import OnnxServiceSettings


class FaceSettings(OnnxServiceSettings):
    """Section `face` of services.yaml."""
