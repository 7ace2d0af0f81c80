"""The theme of the page; all its files are served from this machine."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

CSS_PATH = Path(__file__).parent / "static" / "style.css"


def theme() -> gr.themes.Base:
    """Gradio's base theme with the system's own fonts."""
    return gr.themes.Base(
        primary_hue="blue",
        neutral_hue="gray",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
