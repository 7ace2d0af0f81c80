"""The id of the current request, which appears in log lines and is sent with every further call."""

from __future__ import annotations

import contextvars

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""Id of the request that this task or thread handles; "" outside a request."""
