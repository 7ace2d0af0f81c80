"""Asking the model services which models they serve."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.ports import ModelPorts
from orchestrator.runs import model_check
from orchestrator.runs.model_check import ask_models
from services.common.errors import UnavailableError


class _Service:
    """A service that answers at once, or is frozen."""

    def __init__(self, *, is_frozen: bool) -> None:
        self._is_frozen = is_frozen

    async def model(self) -> Any:
        if self._is_frozen:
            await asyncio.Event().wait()
        return "model"


async def test_a_frozen_service_does_not_hold_up_the_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_check, "ANSWER_WAIT_S", 0.1)
    served: Any = _Service(is_frozen=False)
    frozen: Any = _Service(is_frozen=True)
    found = await ask_models(ModelPorts(served, frozen, served, served))
    error = found.pop("quality")
    assert isinstance(error, UnavailableError)
    assert error.message == "the quality service does not respond"
    assert found == dict.fromkeys(("embedding", "face", "siamese"), "model")
