"""Types of settings, with their bounds.

The domain itself never reads the bounds: they are `annotated_types` metadata, which pydantic
checks in `orchestrator.config`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le

Share = Annotated[float, Ge(0), Le(1)]
Penalty = Annotated[float, Ge(-1), Le(0)]
Similarity = Annotated[float, Ge(-1), Le(1)]
"""A cosine similarity."""
Distance = Annotated[float, Ge(0), Le(2)]
"""A cosine distance, or a euclidean distance between unit vectors: both are at most 2."""
Count = Annotated[int, Ge(1)]
Auto = Literal["auto"]
"""Placeholder for the value calibrated for the embedding model."""
