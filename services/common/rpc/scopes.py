"""What a token allows; apart from `auth`, so that the command line can load it quickly."""

from __future__ import annotations

from typing import Literal

ScopeName = Literal["read", "run", "admin"]
