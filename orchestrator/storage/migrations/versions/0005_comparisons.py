"""The comparisons that a run's selection used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from orchestrator.storage.tables import PATH

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the table, without the comparisons of earlier runs."""
    op.create_table(
        "comparisons",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("first_path", PATH, nullable=False),
        sa.Column("second_path", PATH, nullable=False),
        sa.Column("first_better_probability", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "first_path", "second_path", name="pk_comparisons"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], ondelete="CASCADE", name="fk_comparisons_run_id_runs"
        ),
    )


def downgrade() -> None:
    """Drops the table."""
    op.drop_table("comparisons")
