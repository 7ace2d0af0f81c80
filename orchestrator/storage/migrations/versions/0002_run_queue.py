"""Records which orchestrator works on a run, and until when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = (
    sa.Column("owner_id", sa.Text),
    sa.Column("lease_expire_time", sa.DateTime(timezone=True)),
    sa.Column("is_cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("takeover_count", sa.Integer, nullable=False, server_default="0"),
)


def upgrade() -> None:
    """Adds the columns, and an index on the state."""
    for column in COLUMNS:
        op.add_column("runs", column)
    op.create_index("ix_runs_state", "runs", ["state"])


def downgrade() -> None:
    """Drops the index and the columns."""
    op.drop_index("ix_runs_state", "runs")
    for column in COLUMNS:
        op.drop_column("runs", column.name)
