"""Labels for settings and result fields, in the words that the page uses."""

from __future__ import annotations

from ui.controls import AUTO, CONTROLS
from ui.scores import SCORES

Plain = float | str | bool | None

_CONTROLS = {control.key: control for control in CONTROLS}
_RESOLVED = "resolved."
_SCORE_LABELS = {score.name: score.label for score in SCORES}
_PHOTO_FIELDS = {
    "is_selected": "Selected",
    "reason": "Reason",
    "reason_code": "Reason code",
    "lost_to_path": "Lost to",
    "cluster_id": "Moment (counted from 0)",
    "similarity": "Similarity",
    "rank": "Rank in moment",
}


def name_setting(key: str) -> str:
    """Returns the label of a setting; without a control, it is derived from the key."""
    if key.startswith(_RESOLVED):
        return f"{name_setting(key.removeprefix(_RESOLVED))}, resolved"
    return _CONTROLS[key].label if key in _CONTROLS else _humanize(key)


def word_setting(key: str, value: Plain) -> str:
    """Formats the value of a setting in the same words as its control."""
    control = _CONTROLS.get(key)
    if control and control.kind == "distance" and value in (AUTO, None):
        return "automatic" if value == AUTO else "no limit"
    if control and str(value) in control.words:
        return control.words[str(value)]
    return word_value(value)


def name_photo_field(field: str) -> str:
    """Returns the label of a score or another field of a photo's result."""
    last = field.rpartition(".")[2]
    return _SCORE_LABELS.get(last) or _PHOTO_FIELDS.get(field) or _humanize(field)


def word_value(value: Plain) -> str:
    """Formats a value for a reader."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _humanize(key: str) -> str:
    """Turns "select_best.keep_sets" into "Select best: keep sets"."""
    words = ": ".join(part.replace("_", " ") for part in key.split("."))
    return words[:1].upper() + words[1:]
