"""Descriptions of the declared settings, for the settings page and for configs/README.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True)
class SettingDescription:
    """One setting; fields as in orchestrator.proto."""

    key: str
    description: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]


def describe(settings: type[BaseModel]) -> list[SettingDescription]:
    """Describes every setting of a class, nested ones under dotted keys, in the order declared.

    Bounds and choices are read from the JSON schema, because pydantic derives that from everything
    a class may consist of: models, dataclasses, constraints, unions.
    """
    schema = settings.model_json_schema()
    return list(_describe(schema, schema.get("$defs", {}), ""))


def _describe(
    section: dict[str, Any], definitions: dict[str, Any], prefix: str
) -> Iterator[SettingDescription]:
    for name, schema in section["properties"].items():
        key = f"{prefix}{name}"
        if "$ref" in schema:  # a nested section; `anyOf` marks a value that may also be null
            nested = definitions[schema["$ref"].rpartition("/")[2]]
            yield from _describe(nested, definitions, f"{key}.")
            continue
        variants = [schema, *schema.get("anyOf", [])]
        bounds = {bound: value for variant in variants for bound, value in variant.items()}
        choices = [
            choice
            for variant in variants
            for choice in variant.get("enum", [variant["const"]] if "const" in variant else [])
        ]
        yield SettingDescription(
            key=key,
            description=" ".join(schema.get("description", "").split()),
            minimum=bounds.get("minimum", bounds.get("exclusiveMinimum")),
            maximum=bounds.get("maximum", bounds.get("exclusiveMaximum")),
            choices=tuple(choices),
        )
