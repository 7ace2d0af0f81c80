"""The page's view of a run."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from bestshot.model.v1 import model_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.client import Orchestrator
from ui.controls import CONTROLS
from ui.views.run import defaults, profile_update, progress_of

pytestmark = pytest.mark.slow


def test_notes_of_a_run_are_shown_as_text() -> None:
    run = pb.Run(state=pb.RUN_STATE_COMPLETED, notes=["20 photos <look> alike."])
    assert '<p class="note">20 photos &lt;look&gt; alike.</p>' in progress_of(run)
    assert 'class="note"' not in progress_of(pb.Run(state=pb.RUN_STATE_COMPLETED))


@pytest.mark.parametrize("state", [pb.RUN_STATE_INTERRUPTED, pb.RUN_STATE_CANCELLED])
def test_a_run_that_ended_early_says_that_it_can_be_resumed(state: pb.RunState) -> None:
    assert "you can resume the run" in progress_of(pb.Run(state=state))


def described(**profiles: dict[str, str]) -> pb.DescribeSettingsResponse:
    return pb.DescribeSettingsResponse(
        profile="builtin",
        profiles=[
            pb.Profile(name=name, description=f"About `{name}`.", models=models)
            for name, models in profiles.items()
        ],
    )


def served(**models: model_pb2.ModelInfo | None) -> list[pb.ServedModel]:
    return [pb.ServedModel(role=role, model=model) for role, model in models.items()]


def test_only_profiles_whose_models_are_served_are_offered() -> None:
    settings = described(
        builtin={"embedding": "small", "face": "cascades"},
        reference={"embedding": "small", "face": "cascades"},
        lite={"embedding": "small", "face": "networks"},
    )
    update = profile_update(
        settings,
        served(embedding=model_pb2.ModelInfo(id="small"), face=model_pb2.ModelInfo(id="cascades")),
    )
    assert update["choices"] == ["builtin", "reference"]
    assert update["info"].startswith("About builtin. Not offered: lite, because")
    assert "--profile NAME" in update["info"]


def test_a_service_that_is_down_or_falls_back_hides_no_profile() -> None:
    settings = described(
        builtin={"embedding": "small", "face": "cascades"},
        lite={"embedding": "large", "face": "networks"},
    )
    fallback = model_pb2.ModelInfo(id="small", fallback_for_model_id="large")
    update = profile_update(settings, served(embedding=fallback, face=None))
    assert update["choices"] == ["builtin", "lite"]
    assert update["info"] == "About builtin."


class FrozenServices:
    """An orchestrator whose model services do not answer."""

    async def settings(self, profile: str = "") -> pb.DescribeSettingsResponse:
        answer = described(builtin={})
        answer.settings.extend(pb.Setting(key=control.key) for control in CONTROLS)
        return answer

    async def models(self) -> list[pb.ServedModel]:
        raise AssertionError("the page must open before the services answer")


def test_a_frozen_model_service_does_not_delay_the_settings() -> None:
    profile, *_ = asyncio.run(defaults(cast(Orchestrator, FrozenServices())))
    assert (profile["value"], profile["choices"]) == ("builtin", ["builtin"])
