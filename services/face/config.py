"""Settings of the face service."""

from __future__ import annotations

from services.common.config.sections import ModelServiceSettings


class FaceSettings(ModelServiceSettings):
    """Section `face` of services.yaml."""

    identity_model: str | None
    """id in `models.yaml` of the network that recognizes people, for callers that ask for it; the
    service starts even without its file. `null` for none"""
