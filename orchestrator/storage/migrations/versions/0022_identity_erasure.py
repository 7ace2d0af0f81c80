"""Records when identity vectors were last erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table with its only row."""
    table = op.create_table(
        "identity_erasures",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("erase_time", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_identity_erasures"),
    )
    op.bulk_insert(table, [{"id": 1, "erase_time": None}])


def downgrade() -> None:
    """Drops the table."""
    op.drop_table("identity_erasures")
