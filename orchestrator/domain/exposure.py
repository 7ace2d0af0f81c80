"""Describes the exposure of a shot in words."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.domain.photo import CameraFacts

_LONGEST_FRACTION_SECONDS = 0.3
"""Shorter exposure times are shown as a fraction, as on cameras."""


def exposure_caption(facts: CameraFacts) -> str:
    """Formats the exposure; empty if nothing is known.

    For example: "1/200 s, f/2.8, ISO 800, 50 mm, +0.7 EV". An exposure bias of 0 is left out.
    """
    return ", ".join(_parts(facts))


def _parts(facts: CameraFacts) -> Iterator[str]:
    if facts.exposure_time_seconds is not None:
        yield _exposure_time(facts.exposure_time_seconds)
    if facts.f_number is not None:
        yield f"f/{round(facts.f_number, 1):g}"
    if facts.iso is not None:
        yield f"ISO {facts.iso}"
    if facts.focal_length_mm is not None:
        yield f"{round(facts.focal_length_mm, 1):g} mm"
    if facts.exposure_bias_ev is not None and round(facts.exposure_bias_ev, 1):
        yield f"{round(facts.exposure_bias_ev, 1):+g} EV"


def _exposure_time(seconds: float) -> str:
    if seconds < _LONGEST_FRACTION_SECONDS:
        return f"1/{round(1 / seconds)} s"
    return f"{round(seconds, 1):g} s"
