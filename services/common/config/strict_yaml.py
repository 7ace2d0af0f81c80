"""Parses YAML from users, within limits on its size and depth, and with one-line errors."""

from __future__ import annotations

import reprlib
from collections.abc import Hashable
from typing import Any

import yaml

from services.common.errors import ConfigError, shorten

DEPTH_LIMIT = 40
NODE_LIMIT = 100_000
"""Maximum number of nodes in a document with its aliases expanded; models.yaml has 1,500."""
INTEGER_BITS = 64

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 100
_brief.maxlevel = 3


def quote(value: object) -> str:
    """`repr(value)`, short enough for a message.

    Unlike `shorten(repr(value))`, it also takes little time for a huge value.
    """
    if isinstance(value, int) and value.bit_length() > INTEGER_BITS:
        return f"an integer of {value.bit_length()} bits"  # repr refuses more than 4,300 digits
    return shorten(_brief.repr(value), 300)


class _StrictLoader(yaml.CSafeLoader):
    """A YAML loader that refuses duplicate keys and non-scalar keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key_node, yaml.ScalarNode) or not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a plain value", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {quote(key)}", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:  # noqa: ANN401
        value = super().construct_scalar(node)
        if isinstance(value, str) and "\0" in value:
            raise yaml.constructor.ConstructorError(
                None, None, "text must not contain a NUL character", node.start_mark
            )
        return value

    def construct_bounded_int(self, node: yaml.ScalarNode) -> int:
        problem = f"an integer must fit into {INTEGER_BITS} bits"
        if len(node.value) > 100:  # int() takes quadratic time
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        value: int = self.construct_yaml_int(node)
        if value.bit_length() > INTEGER_BITS:
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return value


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_bounded_int)


def parse_yaml(text: str, source: str) -> object:
    """Parses one document.

    Args:
        text: The document.
        source: Where it comes from, for messages.

    Raises:
        ConfigError: The document is invalid, too deep, or too large once its aliases are expanded.
    """
    try:
        _check_size(text)
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        problem = " ".join((error.problem or error.context or "it cannot be parsed").split())
        raise ConfigError(f"invalid YAML in {source}{line}: {problem[:200]}") from error
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"invalid YAML in {source}: {problem[:200]}") from error
    except (ValueError, OverflowError, TypeError, AttributeError, KeyError) as error:
        # PyYAML's own constructors raise these for impossible dates, tags and numbers.
        raise ConfigError(f"invalid YAML in {source}: a value is malformed") from error


def _check_size(text: str) -> None:
    """Counts the nodes that composing would create, using events, which need no recursion."""
    sizes: dict[str, int] = {}
    enclosing: list[tuple[str | None, int]] = []
    count = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        match event:
            case yaml.AliasEvent():
                name = event.anchor or ""
                if any(anchor == name for anchor, _ in enclosing):
                    raise _make_error(f"the anchor {name[:50]!r} contains itself", event)
                count += sizes.get(name, 1)
            case yaml.ScalarEvent():
                count += 1
                sizes[event.anchor or ""] = 1
            case yaml.CollectionStartEvent():
                enclosing.append((event.anchor, count))
                count += 1
            case yaml.CollectionEndEvent():
                anchor, before = enclosing.pop()
                sizes[anchor or ""] = count - before
        if len(enclosing) > DEPTH_LIMIT:
            raise _make_error(f"the document is nested deeper than {DEPTH_LIMIT} levels", event)
        if count > NODE_LIMIT:
            raise _make_error(f"the document has more than {NODE_LIMIT} values", event)


def _make_error(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    mark: Any = event.start_mark  # the C parser has its own class of marks with the same interface
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
