"""The scopes of tokens; separate from `auth`, so that the command line loads them quickly."""

from __future__ import annotations

from typing import Literal

ScopeName = Literal["read", "run", "admin"]
