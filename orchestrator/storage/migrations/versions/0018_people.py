"""Persons, their faces, and what the user has said about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "persons",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("is_ignored", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_persons"),
    )
    op.create_table(
        "faces",
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.Column("place", sa.Integer, nullable=False, autoincrement=False),
        *(
            sa.Column(name, sa.Float(53), nullable=False)
            for name in ("left", "top", "width", "height", "clarity")
        ),
        sa.Column("person_id", sa.String(32)),
        sa.Column("similarity", sa.Float(53)),
        sa.ForeignKeyConstraint(
            ["person_id"], ["persons.id"], name="fk_faces_person_id_persons", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("content_digest", "place", name="pk_faces"),
    )
    op.create_index("ix_faces_person_id", "faces", ["person_id"])
    # for finding the photos that a face is in
    op.create_index("ix_images_content_digest", "images", ["content_digest"])
    op.create_table(
        "people_log",
        sa.Column("sequence", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("faces", sa.JSON, nullable=False),
        sa.Column("other_person_id", sa.String(32), nullable=False),
        sa.Column("rest", sa.JSON, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("undone_id", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_people_log"),
        sa.UniqueConstraint("id", name="uq_people_log_id"),
    )
    op.create_table(
        "identity_models",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("same_person_similarity", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identity_models"),
    )


def downgrade() -> None:
    """Drops the index and the tables."""
    op.drop_index("ix_images_content_digest", "images")
    for name in ("identity_models", "people_log", "faces", "persons"):
        op.drop_table(name)
