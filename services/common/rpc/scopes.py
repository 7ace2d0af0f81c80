"""The scopes of tokens, which the protos require of callers and `auth` enforces.

They are separate from `auth` so that the command line loads them quickly.
"""

from __future__ import annotations

from typing import Literal

ScopeName = Literal["read", "run", "admin"]
