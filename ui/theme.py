"""The theme of the page; all its files are served from this machine."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

CSS_PATH = Path(__file__).parent / "static" / "style.css"


def theme() -> gr.themes.Base:
    """Builds the theme: Gradio's base theme with the system's own fonts."""
    return gr.themes.Base(
        primary_hue="blue",
        neutral_hue="gray",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        # contrast with white text is at least 4.5; Gradio's blue has only 3.7
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        # Gradio's border is nearly the colour of the box behind it
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
    )
