"""An append-only decision log, for moments as well as photos."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the log, filled from existing decisions, and the columns for corrected moments."""
    op.create_table(
        "decision_log",
        sa.Column("album_id", sa.String(32), nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("action", sa.String(8), nullable=False),
        sa.Column("photos", sa.JSON, nullable=False),
        sa.Column("target", sa.JSON),
        sa.Column("undone_id", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("album_id", "sequence", name="pk_decision_log"),
        sa.UniqueConstraint("album_id", "id", name="uq_decision_log_album_id"),
        sa.ForeignKeyConstraint(
            ["album_id"],
            ["albums.id"],
            ondelete="CASCADE",
            name="fk_decision_log_album_id_albums",
        ),
    )
    _fill()
    op.add_column("runs", sa.Column("corrections", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("images", sa.Column("machine_cluster_id", sa.Integer))
    op.execute("UPDATE images SET machine_cluster_id = cluster_id")


def downgrade() -> None:
    """Drops the log and the columns; decisions on photos are kept."""
    op.drop_column("images", "machine_cluster_id")
    op.drop_column("runs", "corrections")
    op.drop_table("decision_log")


def _fill() -> None:
    """Creates an entry for each decision, with the path from the newest run that has the photo."""
    names = ("album_id", "content_digest", "decision", "create_time")
    decisions = sa.table("decisions", *map(sa.column, names))
    images = sa.table("images", *map(sa.column, ("run_id", "path", "content_digest")))
    runs = sa.table("runs", *map(sa.column, ("id", "album_id", "create_time")))
    log = sa.table(
        "decision_log",
        *map(sa.column, ("album_id", "sequence", "id", "action", "undone_id", "create_time")),
        sa.column("photos", sa.JSON),
    )
    path = (
        sa.select(images.c.path)
        .join(runs, runs.c.id == images.c.run_id)
        .where(
            runs.c.album_id == decisions.c.album_id,
            images.c.content_digest == decisions.c.content_digest,
        )
        .order_by(runs.c.create_time.desc(), images.c.path)
        .limit(1)
        .scalar_subquery()
    )
    query = sa.select(decisions, path.label("path")).order_by(
        decisions.c.album_id, decisions.c.create_time, decisions.c.content_digest
    )
    counts: dict[str, int] = {}
    for row in op.get_bind().execute(query).all():
        sequence = counts[row.album_id] = counts.get(row.album_id, 0) + 1
        photo = {"content_digest": row.content_digest, "path": row.path or ""}
        values = {
            "album_id": row.album_id,
            "sequence": sequence,
            "id": row.content_digest[:32],
            "action": row.decision,
            "photos": [photo],
            "undone_id": "",
            "create_time": row.create_time,
        }
        op.execute(log.insert().values(values))
