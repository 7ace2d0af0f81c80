"""The camera of a photo, and the files that go with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns, which are empty for photos of earlier runs."""
    op.add_column("images", sa.Column("camera", sa.Text, nullable=False, server_default=""))
    op.add_column(
        "images", sa.Column("companion_paths", sa.JSON, nullable=False, server_default="[]")
    )


def downgrade() -> None:
    """Drops the columns."""
    op.drop_column("images", "companion_paths")
    op.drop_column("images", "camera")
