"""Important persons, and who was in which photo according to a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_LISTS = ("person_ids", "judged_faces", "brought_in_for")


def upgrade() -> None:
    """Adds the columns; earlier runs did not use persons."""
    op.add_column(
        "persons",
        sa.Column("is_important", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.add_column("runs", sa.Column("persons", sa.JSON, nullable=False, server_default="{}"))
    for name in _LISTS:
        op.add_column("images", sa.Column(name, sa.JSON, nullable=False, server_default="[]"))
    op.add_column("images", sa.Column("whole_moment_id", sa.Integer))
    op.add_column("images", sa.Column("moment_people", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    """Drops the columns."""
    for name in ("moment_people", "whole_moment_id", *_LISTS):
        op.drop_column("images", name)
    op.drop_column("runs", "persons")
    op.drop_column("persons", "is_important")
