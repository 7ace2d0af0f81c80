"""Records the user's decisions as they were when a run selected its photos."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; earlier runs recorded no decisions."""
    op.add_column("runs", sa.Column("decisions", sa.JSON, nullable=False, server_default="{}"))


def downgrade() -> None:
    """Drops the column."""
    op.drop_column("runs", "decisions")
