"""Opaque page tokens, bound to the query that they continue."""

from __future__ import annotations

import base64
import hashlib
import json

from services.common.errors import InvalidArgumentError

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
MAX_OFFSET = 2**31 - 1


def page_size(requested: int) -> int:
    """Caps a page size, and replaces 0 with the default; raises InvalidArgumentError below 0."""
    if requested < 0:
        raise InvalidArgumentError("page_size", f"must not be negative (got {requested})")
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def encode(offset: int, *query: object) -> str:
    """Makes the token of the page that starts at `offset`."""
    payload = json.dumps([offset, _digest(query)])
    return base64.urlsafe_b64encode(payload.encode()).decode()


def decode(token: str, *query: object) -> int:
    """Reads a token's offset; 0 for the empty token.

    Raises:
        InvalidArgumentError: The token is not one of ours, or belongs to another query.
    """
    if not token:
        return 0
    try:
        offset, digest = json.loads(base64.urlsafe_b64decode(token.encode()))
        valid = isinstance(offset, int) and 0 <= offset <= MAX_OFFSET and digest == _digest(query)
    except (ValueError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise InvalidArgumentError(
            "page_token",
            "does not match this call: use the next_page_token of a call whose other "
            "fields are the same",
        )
    return int(offset)


def offset(token: str, skip: int, *query: object) -> int:
    """Returns the offset of a page: from its token, or `skip`.

    Raises:
        InvalidArgumentError: The token is invalid, `skip` is negative, or both are given.
    """
    if skip < 0 or (skip and token):
        raise InvalidArgumentError(
            "skip", "must not be negative, and cannot be combined with page_token"
        )
    return skip or decode(token, *query)


def _digest(query: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(query).encode()).hexdigest()[:16]
