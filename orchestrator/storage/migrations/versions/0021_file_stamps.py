"""The status that files had when their content was hashed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table; each album's next run fills it."""
    op.create_table(
        "file_stamps",
        sa.Column("album_id", sa.String(32), nullable=False),
        sa.Column(
            "path", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("stamp", sa.Text, nullable=False),
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["album_id"], ["albums.id"], name="fk_file_stamps_album_id_albums", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("album_id", "path", name="pk_file_stamps"),
    )


def downgrade() -> None:
    """Drops the table."""
    op.drop_table("file_stamps")
