"""Sources of capture times, camera facts, and owners' marks from other programs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMNS: dict[str, tuple[Any, str]] = {
    "capture_time_source": (sa.Text, ""),
    "capture_utc_offset": (sa.String(6), ""),
    "camera_facts": (sa.JSON, "{}"),
    "owner_mark": (sa.JSON, "{}"),
}
"""New columns of photos, with their types and defaults."""


def upgrade() -> None:
    """Adds the columns. All capture times so far come from EXIF's DateTimeOriginal."""
    for name, (kind, default) in COLUMNS.items():
        op.add_column("images", sa.Column(name, kind, nullable=False, server_default=default))
    images = sa.table("images", sa.column("capture_time"), sa.column("capture_time_source"))
    op.execute(
        sa.update(images)
        .where(images.c.capture_time != "")
        .values(capture_time_source="EXIF DateTimeOriginal")
    )


def downgrade() -> None:
    """Drops the columns."""
    for name in COLUMNS:
        op.drop_column("images", name)
