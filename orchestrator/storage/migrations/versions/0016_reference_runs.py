"""The earlier run whose moments and picks a run keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; earlier runs kept nothing."""
    op.add_column(
        "runs", sa.Column("reference_run_id", sa.String(32), nullable=False, server_default="")
    )


def downgrade() -> None:
    """Drops the column."""
    op.drop_column("runs", "reference_run_id")
