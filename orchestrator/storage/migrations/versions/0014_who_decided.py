"""Records in the decision log who made each decision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column, which is empty for earlier entries."""
    op.add_column(
        "decision_log", sa.Column("decided_by", sa.Text, nullable=False, server_default="")
    )


def downgrade() -> None:
    """Drops the column."""
    op.drop_column("decision_log", "decided_by")
