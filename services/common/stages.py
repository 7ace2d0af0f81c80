"""Titles of the stages of a run."""

from __future__ import annotations

STAGE_TITLES = {
    "discover": "finding photos",
    "score": "scoring",
    "cluster": "grouping into moments",
    "compare": "comparing near ties",
    "select": "selecting",
}
"""Keys are the names in orchestrator.proto, in order; other names are shown unchanged."""
