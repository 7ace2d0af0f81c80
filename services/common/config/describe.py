"""Descriptions of the declared settings, for the settings page and for configs/README.md."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

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
    return list(_describe(settings, schema, schema.get("$defs", {}), ""))


def _describe(
    settings: type, section: dict[str, Any], definitions: dict[str, Any], prefix: str
) -> Iterator[SettingDescription]:
    types, docstrings = get_type_hints(settings), _attribute_docstrings(settings)
    for name, schema in section["properties"].items():
        key = f"{prefix}{name}"
        if "$ref" in schema:  # a nested section; `anyOf` marks a value that may also be null
            nested = definitions[schema["$ref"].rpartition("/")[2]]
            yield from _describe(types[name], nested, definitions, f"{key}.")
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
            description=" ".join(docstrings.get(name, schema.get("description", "")).split()),
            minimum=bounds.get("minimum", bounds.get("exclusiveMinimum")),
            maximum=bounds.get("maximum", bounds.get("exclusiveMaximum")),
            choices=tuple(choices),
        )


@functools.cache
def _attribute_docstrings(settings: type) -> dict[str, str]:
    """Docstrings of a class's attributes, by name, inherited ones included.

    pydantic can read them too, but it does so when a class is created. Because that parses the
    source, it would take a fifth of the start time of each process.
    """
    found: dict[str, str] = {}
    for parent in reversed(settings.__mro__[:-1]):
        if parent.__module__.partition(".")[0] == "pydantic":
            continue
        [body] = ast.parse(textwrap.dedent(inspect.getsource(parent))).body
        assert isinstance(body, ast.ClassDef)
        for attribute, following in itertools.pairwise(body.body):
            match attribute, following:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[name] = text
    return found
