"""Settings of the face service."""

from __future__ import annotations

from services.common.config.sections import ModelServiceSettings


class FaceSettings(ModelServiceSettings):
    """Section `face` of services.yaml."""

    identity_model: str | None
    """id in `models.yaml` of the network that recognizes people, used when a caller asks for
    identities; the service starts even without the network's file. `null` for none"""
