"""The id of the request at work: read by the logs, sent along with every further call."""

from __future__ import annotations

import contextvars

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""Id of the request that this task or thread works for; "" outside a request."""
