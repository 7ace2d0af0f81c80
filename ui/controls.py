"""Controls for the pipeline settings, with the orchestrator's defaults and help texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import gradio as gr
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from google.protobuf import json_format, struct_pb2

Config = dict[str, Any]
Value = float | str | bool | None

AUTO, NUMBER, NONE = "auto", "number", "none"
_MODES = [("automatic", AUTO), ("up to a limit", NUMBER), ("no limit", NONE)]


@dataclass(frozen=True)
class Control:
    """One setting.

    Attributes:
        key: As in pipeline.yaml.
        label: Shown beside it.
        kind: Kind of control; for a distance, the user chooses `auto`, a number or no limit.
        maximum: Maximum of the slider, if the setting has no upper bound.
        help: Text below the label, for a setting whose own description names keys or CSV columns.
        words: Labels of the choices; a choice without one is shown as is.
        needs_people: Whether it is shown only if people are recognized.
    """

    key: str
    label: str
    kind: Literal["number", "count", "choice", "flag", "distance"]
    maximum: float = 20
    help: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    needs_people: bool = False


PEOPLE_CHOICES = ("everybody",)
"""Choices that are offered only if people are recognized."""
MAIN = (
    Control(
        "select_best.goal.pick",
        "Goal",
        "choice",
        help="Which photos to pick.",
        words={
            "moments": "the best of each moment",
            "one_per_moment": "one photo per moment",
            "count": "a number of photos from the whole album",
            "share": "a share of the photos in the album",
            "all_but_failures": "all except failed shots",
            "everybody": "the best of each moment, plus a good photo of each person",
        },
    ),
    Control(
        "select_best.goal.count",
        "Number of photos",
        "count",
        1000,
        help="Only if the goal is a number of photos. Photos that you keep come first, and all of "
        "them are picked even if they exceed this number.",
    ),
    Control(
        "select_best.max_images_per_cluster",
        "Maximum photos per moment",
        "count",
        10,
        help="Only if the goal is the best of each moment.",
    ),
    Control(
        "select_best.min_score_threshold",
        "Minimum score",
        "number",
        help="Composite score below which a moment gets no second or later pick.",
    ),
    Control(
        "filter_quality.min_sharpness",
        "Minimum sharpness",
        "number",
        help="A photo is not picked if even its sharpest region is below this. A sharp subject in "
        "front of a soft background passes.",
    ),
    Control(
        "cluster_scenes.scene_distance",
        "Scene distance",
        "distance",
        help="How different two photos of one moment may look.",
    ),
)
"""The settings that most users want to change."""
ADVANCED: dict[str, tuple[Control, ...]] = {
    "Grouping into moments": (
        Control("cluster_scenes.method", "Method", "choice"),
        Control(
            "cluster_scenes.cluster_selection_epsilon",
            "Selection epsilon",
            "distance",
            help="Photos closer than this are not split, unless the scene distance requires it "
            "(HDBSCAN).",
        ),
        Control("cluster_scenes.cluster_selection_method", "Cluster selection method", "choice"),
        Control("cluster_scenes.min_cluster_size", "Minimum cluster size", "count"),
        Control("cluster_scenes.min_samples", "Minimum samples", "count"),
        Control("cluster_scenes.dbscan.eps", "DBSCAN eps", "number"),
        Control("cluster_scenes.capture_time.weight", "Weight of capture time", "number"),
        Control("cluster_scenes.capture_time.enabled", "Join bursts, split at pauses", "flag"),
        Control(
            "people.split_moments",
            "Split moments by people",
            "flag",
            help="Puts shots that show different people into separate moments. People count "
            "if they are named, important, or in at least 3 photos of the album.",
            needs_people=True,
        ),
    ),
    "Selection": (
        Control("select_best.include_noise", "Also select single shots", "flag"),
        Control("select_best.siamese.enabled", "Use the Siamese model for near ties", "flag"),
        Control(
            "select_best.goal.share",
            "Share of the photos",
            "number",
            help="Only if the goal is a share of the photos; 0.1 picks one in ten.",
        ),
        Control(
            "filter_quality.min_iqa_score",
            "Minimum technical quality (IQA)",
            "number",
            help="Technical quality below which a photo is not picked.",
        ),
        Control("select_best.dissimilarity_threshold", "Similarity limit", "number"),
        Control("select_best.siamese.duplicate_threshold", "Duplicate threshold", "number"),
        Control("select_best.siamese.tiebreaker_range", "Tie range", "number"),
        Control(
            "select_best.stability_margin",
            "Margin to replace an earlier pick",
            "number",
            help="How much better, by composite score, a photo must be to replace a pick from an "
            "earlier run of the album. With 0, earlier runs are ignored.",
        ),
        Control("select_best.use_owner_ratings", "Use ratings from other programs", "flag"),
    ),
    "Weights": (
        Control("select_best.quality_weights.iqa", "Weight of technical quality (IQA)", "number"),
        Control("select_best.quality_weights.ava", "Weight of aesthetics (AVA)", "number"),
        Control(
            "select_best.person_penalties.eyes_closed",
            "Penalty: eyes closed",
            "number",
            help="Added if the worst prominent face has closed eyes: in full if all faces are as "
            "bad, or about half of it if the others are good.",
        ),
        Control(
            "select_best.person_penalties.face_turned",
            "Penalty: face turned",
            "number",
            help="Added if the worst prominent face is turned away, in full or in part as above.",
        ),
        Control(
            "select_best.person_penalties.not_smiling",
            "Penalty: not smiling",
            "number",
            help="Added if the worst prominent face is not smiling, in full or in part as above.",
        ),
    ),
}
CONTROLS = (*MAIN, *(control for group in ADVANCED.values() for control in group))
COMPONENT_COUNT = sum(2 if control.kind == "distance" else 1 for control in CONTROLS)


def build() -> list[gr.components.Component]:
    """Adds the controls to the page, in the order of CONTROLS; a distance has two components."""
    made: list[gr.components.Component] = []
    for control in MAIN:
        made += _components(control)
    with gr.Accordion("Advanced", open=False):
        for title, group in ADVANCED.items():
            gr.Markdown(f"#### {title}")
            for control in group:
                made += _components(control)
    return made


def fill(described: pb.DescribeSettingsResponse, config: Mapping[str, Any]) -> list[Any]:
    """Returns updates for the components of `build`: values from `config`, help and bounds."""
    settings = {setting.key: setting for setting in described.settings}
    has_people = bool(get(config, "people.enabled"))
    updates: list[Any] = []
    for control in CONTROLS:
        setting, value = settings[control.key], get(config, control.key)
        info = control.help or _sentence(setting.description)
        low = setting.minimum if setting.HasField("minimum") else 0
        high = setting.maximum if setting.HasField("maximum") else control.maximum
        match control.kind:
            case "choice":
                choices = [
                    (control.words.get(word, word), word)
                    for word in setting.choices
                    if has_people or word not in PEOPLE_CHOICES
                ]
                updates.append(gr.update(value=value, choices=choices, info=info))
            case "flag":
                visible = has_people or not control.needs_people
                updates.append(gr.update(value=value, info=info, visible=visible))
            case "distance":
                mode = value if value == AUTO else NONE if value is None else NUMBER
                number = value if mode == NUMBER else _resolve_auto(config, control.key)
                updates.append(gr.update(value=mode, info=info))
                updates.append(gr.update(value=number, visible=mode == NUMBER))
            case _:
                updates.append(gr.update(value=value, minimum=low, maximum=high, info=info))
    return updates


def overrides(
    values: Sequence[Value], start: pb.Run | pb.DescribeSettingsResponse
) -> struct_pb2.Struct:
    """Returns the settings in which the components differ from `start`, nested like `start`."""
    config = config_of(start)
    remaining = list(values)
    changed: Config = {}
    for control in CONTROLS:
        value = remaining.pop(0)
        if control.kind == "distance":
            number = remaining.pop(0)
            value = {AUTO: AUTO, NONE: None}.get(str(value), number)
        if value != get(config, control.key):
            *outer, last = control.key.split(".")
            inner = changed
            for part in outer:
                inner = inner.setdefault(part, {})
            inner[last] = value
    message = struct_pb2.Struct()
    message.update(changed)
    return message


def config_of(message: pb.Run | pb.DescribeSettingsResponse) -> Config:
    """Returns the config of a run or a profile as a mapping."""
    return dict(json_format.MessageToDict(message.config))


def get(config: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401
    """Returns the value at a dotted key; None if it is missing in a run of an earlier version."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _resolve_auto(config: Mapping[str, Any], key: str) -> float:
    """Returns the number that `auto` resolved to in a run, for the slider beside it."""
    found = config.get("resolved", {}).get("cluster_scenes", {}).get(key.rpartition(".")[2])
    return float(found) if isinstance(found, int | float) else 0.4


def _sentence(description: str) -> str:
    """Capitalizes the description in a setting's declaration."""
    return description[:1].upper() + description[1:].replace("`", "")


def _components(control: Control) -> list[gr.components.Component]:
    match control.kind:
        case "choice":
            return [gr.Dropdown(label=control.label)]
        case "flag":
            return [gr.Checkbox(label=control.label)]
        case "count":
            return [gr.Slider(1, control.maximum, step=1, label=control.label)]
        case "distance":
            mode = gr.Radio(_MODES, label=control.label)
            number = gr.Slider(0, 2, step=0.01, label=f"{control.label}: limit", visible=False)
            mode.input(lambda chosen: gr.update(visible=chosen == NUMBER), mode, number)
            return [mode, number]
        case _:
            return [gr.Slider(0, 1, step=0.01, label=control.label)]
