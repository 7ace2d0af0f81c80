"""The kind of picture that a file holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; the kinds of earlier results are unknown."""
    op.add_column(
        "images", sa.Column("content_class", sa.String(16), nullable=False, server_default="")
    )


def downgrade() -> None:
    """Drops the column."""
    op.drop_column("images", "content_class")
