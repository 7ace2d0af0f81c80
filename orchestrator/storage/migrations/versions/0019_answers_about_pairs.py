"""Records in the decision log the run in which a pair of photos was shown."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; earlier entries are not about pairs."""
    op.add_column(
        "decision_log", sa.Column("run_id", sa.String(32), nullable=False, server_default="")
    )


def downgrade() -> None:
    """Drops the column."""
    op.drop_column("decision_log", "run_id")
