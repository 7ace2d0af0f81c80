"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

PATH = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables for albums, runs, images, features and decisions."""
    op.create_table(
        "albums",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_albums"),
        sa.UniqueConstraint("folder", name="uq_albums_folder"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("album_id", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("models", sa.JSON, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True)),
        sa.Column("end_time", sa.DateTime(timezone=True)),
        sa.Column("stages", sa.JSON, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("summary", sa.JSON),
        sa.Column("source_run_id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.ForeignKeyConstraint(
            ["album_id"], ["albums.id"], ondelete="CASCADE", name="fk_runs_album_id_albums"
        ),
    )
    op.create_index("ix_runs_album_id", "runs", ["album_id"])
    op.create_table(
        "images",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("path", PATH, nullable=False),
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("damage", sa.Text, nullable=False),
        sa.Column("width_px", sa.Integer, nullable=False),
        sa.Column("height_px", sa.Integer, nullable=False),
        sa.Column("capture_time", sa.String(40), nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("quality", sa.JSON),
        sa.Column("faces", sa.JSON, nullable=False),
        sa.Column("pose_score", sa.Float(53)),
        sa.Column("eyes_score", sa.Float(53)),
        sa.Column("smile_score", sa.Float(53)),
        sa.Column("cluster_id", sa.Integer),
        sa.Column("person_penalty", sa.Float(53)),
        sa.Column("composite_score", sa.Float(53)),
        sa.Column("is_selected", sa.Boolean, nullable=False),
        sa.Column("reason_code", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("lost_to_path", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "path", name="pk_images"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], ondelete="CASCADE", name="fk_images_run_id_runs"
        ),
    )
    op.create_table(
        "features",
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("model_digest", sa.String(64), nullable=False),
        sa.Column("canonical_version", sa.String(16), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint(
            "content_digest", "role", "model_digest", "canonical_version", name="pk_features"
        ),
    )
    op.create_table(
        "decisions",
        sa.Column("album_id", sa.String(32), nullable=False),
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.Column("decision", sa.String(8), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("album_id", "content_digest", name="pk_decisions"),
        sa.ForeignKeyConstraint(
            ["album_id"], ["albums.id"], ondelete="CASCADE", name="fk_decisions_album_id_albums"
        ),
    )


def downgrade() -> None:
    """Drops all tables."""
    for table in ("decisions", "features", "images", "runs", "albums"):
        op.drop_table(table)
