"""Logging set-up, called once in each process by its `__main__`."""

from __future__ import annotations

import logging
import sys
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from services.common.process.request_id import request_id

_TEXT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"
_FIELDS = ("levelname", "name", "request_id", "message")


class _RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get() or "-"
        return True


def configure_logging(level: str, log_format: Literal["text", "json"], part: str) -> None:
    """Sends records of `level` and above to stderr, each with the id of its request.

    Args:
        level: debug, info, warning or error.
        log_format: Lines of text; or one JSON object per line: timestamp, level, logger, part,
            request_id, message, and exc_info if there was an exception.
        part: Name of the part.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_TEXT) if log_format == "text" else _json(part))
    handler.addFilter(_RequestIdFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("alembic", "asyncio", "grpc", "PIL", "sqlalchemy"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _json(part: str) -> logging.Formatter:
    return JsonFormatter(
        _FIELDS,
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={"part": part},
        timestamp=True,
    )
