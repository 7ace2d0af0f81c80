"""Shows results and failures of calls as messages on the page."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import gradio as gr

from ui.client import OrchestratorError

AnswerT = TypeVar("AnswerT")

MESSAGE_S, NEWS_S = 12.0, 4.0
"""How many seconds a failure and a success stay visible."""


async def report_errors(call: Awaitable[AnswerT]) -> AnswerT:
    """Awaits a call made for the user; a failure becomes a message."""
    try:
        return await call
    except OrchestratorError as error:
        raise make_error(f"{error.message} {error.advice}".strip()) from error


def make_error(message: str) -> gr.Error:
    """Builds the message for an action that cannot be performed."""
    return gr.Error(message, duration=MESSAGE_S, print_exception=False)


def show_warning(message: str) -> None:
    """Shows a message about something that worked, but not as the user may expect."""
    gr.Warning(message, duration=MESSAGE_S)


def show_success(message: str) -> None:
    """Shows a success message."""
    gr.Info(message, duration=NEWS_S)
