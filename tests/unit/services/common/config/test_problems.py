"""What is wrong with a value, in our words."""

from __future__ import annotations

import datetime
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pytest
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import core_schema

from services.common.config.problems import describe_problem
from tests.conftest import ROOT


class _Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class _Strict(BaseModel, extra="forbid"):
    name: str


def _refuse(value: object) -> object:
    raise ValueError(f"{value} needs people.enabled: true")


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (Annotated[int, Field(ge=1)], 0, "must be at least 1"),
        (Annotated[float, Field(lt=2.5)], 3, "must be less than 2.5"),
        (int, "x", "must be an integer"),
        (int, 1.5, "must be an integer"),
        (float, "x", "must be a number"),
        (Annotated[float, Field(allow_inf_nan=False)], float("nan"), "must be a finite number"),
        (bool, "x", "must be true or false"),
        (str, 1, "must be text"),
        (Annotated[str, Field(min_length=1)], "", "must not be empty"),
        (Annotated[str, Field(pattern="^a$")], "b", "must match the pattern ^a$"),
        (list[int], 1, "must be a list"),
        (Annotated[list[int], Field(min_length=1)], [], "must not be empty"),
        (Annotated[list[int], Field(max_length=1)], [1, 2], "must have at most 1 items"),
        (Literal["a", "b"], "c", "must be 'a' or 'b'"),
        (_Colour, "green", "must be 'red' or 'blue'"),
        (dict[str, int], 1, "must be a mapping of names to values"),
        (_Strict, 1, "must be a mapping of names to values"),
        (_Strict, {}, "is missing"),
        (_Strict, {"name": "a", "more": 1}, "is unknown"),
        (datetime.date, "x", "must be a date such as 2026-01-31"),
        (AwareDatetime, "2026-01-01T00:00:00", "must have an offset from UTC, such as Z or +02:00"),
        (Path, 1, "must be a path"),
        (Annotated[object, AfterValidator(_refuse)], "x", "x needs people.enabled: true"),
    ],
)
def test_a_problem_is_described(kind: Any, value: object, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    assert describe_problem(caught.value.errors()[0]) == problem


def test_no_kind_of_problem_is_left_without_words() -> None:
    names = "error expected gt ge lt le pattern multiple_of min_length max_length"
    values = dict.fromkeys([*names.split(), "discriminator", "expected_tags"], 2)
    for kind in get_args(core_schema.ErrorType):
        assert describe_problem({"type": kind, "ctx": values})


def test_the_words_of_pydantic_reach_no_user() -> None:
    found = subprocess.run(
        ["git", "grep", "-nE", r"\[.msg.\]|str\(error\).*ValidationError", "--", "*.py", ":!tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
