"""The photo that an edited copy was made from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; photos of earlier runs are not versions."""
    op.add_column(
        "images", sa.Column("version_of_path", sa.Text, nullable=False, server_default="")
    )


def downgrade() -> None:
    """Drops the column."""
    op.drop_column("images", "version_of_path")
