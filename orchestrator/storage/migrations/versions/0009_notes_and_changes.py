"""The notes of a run, and the changes that a call made before its answer was stored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; earlier runs have no notes."""
    op.add_column("runs", sa.Column("notes", sa.JSON, nullable=False, server_default="[]"))
    op.add_column(
        "answers", sa.Column("changes", sa.LargeBinary, nullable=False, server_default="")
    )


def downgrade() -> None:
    """Drops the columns."""
    op.drop_column("answers", "changes")
    op.drop_column("runs", "notes")
