"""Log set-up, called once by each process's composition root."""

from __future__ import annotations

import logging
import sys

from services.common.interceptors import request_id

_FORMAT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"


class _RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


def configure_logging(level: str) -> None:
    """Sends records of `level` and above to stderr, each with the id of its request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(_RequestIdFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("alembic", "PIL", "sqlalchemy"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
