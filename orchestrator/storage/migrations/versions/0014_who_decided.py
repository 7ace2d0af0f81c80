"""Who decided, in the decision log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; it is unknown for earlier entries."""
    op.add_column(
        "decision_log", sa.Column("decided_by", sa.Text, nullable=False, server_default="")
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_column("decision_log", "decided_by")
