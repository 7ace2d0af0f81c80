"""The stages of a run, as people read them."""

from __future__ import annotations

STAGE_TITLES = {
    "discover": "finding photos",
    "score": "scoring",
    "cluster": "grouping into moments",
    "compare": "comparing near ties",
    "select": "selecting",
}
"""By the names of orchestrator.proto, in order; a name that is not here is shown as it is."""
