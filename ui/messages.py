"""Failures of calls as messages on the page."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import gradio as gr

from ui.client import OrchestratorError

AnswerT = TypeVar("AnswerT")


async def told(call: Awaitable[AnswerT]) -> AnswerT:
    """Awaits a call that the user asked for; its failure becomes a message that stays."""
    try:
        return await call
    except OrchestratorError as error:
        raise gr.Error(f"{error.message} {error.advice}".strip(), duration=None) from error
