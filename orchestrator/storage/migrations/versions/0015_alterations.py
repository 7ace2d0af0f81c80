"""Versions of photos, found by content."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; earlier runs did not look for versions."""
    op.add_column(
        "images", sa.Column("altered_from_path", sa.Text, nullable=False, server_default="")
    )
    op.add_column("images", sa.Column("alterations", sa.JSON, nullable=False, server_default="[]"))


def downgrade() -> None:
    """Drops the columns."""
    op.drop_column("images", "alterations")
    op.drop_column("images", "altered_from_path")
