"""Stars and colour labels, in the decision log and in a table for queries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns and the table; earlier entries have neither stars nor a label."""
    op.add_column(
        "decision_log", sa.Column("stars", sa.Integer, nullable=False, server_default="0")
    )
    op.add_column("decision_log", sa.Column("label", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "user_marks",
        sa.Column("album_id", sa.String(32), primary_key=True),
        sa.Column("content_digest", sa.String(64), primary_key=True),
        sa.Column("stars", sa.Integer, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["album_id"], ["albums.id"], ondelete="CASCADE", name="fk_user_marks_album_id_albums"
        ),
    )


def downgrade() -> None:
    """Drops the table and the columns."""
    op.drop_table("user_marks")
    op.drop_column("decision_log", "label")
    op.drop_column("decision_log", "stars")
