"""Renders the HTML in templates/, escaping all external values."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import jinja2
from bestshot.model.v1 import model_pb2
from bestshot.orchestrator.v1 import orchestrator_pb2

from ui import captions
from ui.client import OrchestratorError

_FOLDER = Path(__file__).parent
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals.update(
    photo_url=captions.photo_url,
    score_line=captions.score_line,
    status=captions.status,
    duration=captions.duration,
    pluralize=captions.pluralize,
    pb=orchestrator_pb2,
    model_pb=model_pb2,
)


def render(template: str, **values: object) -> str:
    """Renders templates/{template}.html.j2."""
    return _ENVIRONMENT.get_template(f"{template}.html.j2").render(**values)


def html(value: str = "", script: str = "") -> gr.HTML:
    """Adds a component that shows rendered templates to the page.

    Args:
        value: Initial content.
        script: A file in static/ that runs once, with the component as `element`.
    """
    code = (_FOLDER / "static" / script).read_text(encoding="utf-8") if script else None
    return gr.HTML(value, js_on_load=code, apply_default_css=False)


def problem(error: OrchestratorError) -> str:
    """Renders a failure in place of the content that could not be loaded."""
    return render("problem", message=error.message, advice=error.advice)


def no_results() -> str:
    """Renders the placeholder shown before the first run, and while a run is loading."""
    title, advice = "No results yet", "Start a run under Run Pipeline to see its photos here."
    return render("empty", title=title, advice=advice, is_until_run=True)


def empty(title: str, advice: str) -> str:
    """Renders a placeholder with advice on what to do."""
    return render("empty", title=title, advice=advice, is_until_run=False)
