"""Faults of the faces in a photo, according to the thresholds of its run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

RULES = (("eyes", "eyes_closed"), ("pose", "face_turned"), ("smile", "not_smiling"))
"""Scores, and the fault for a score below its threshold, as of this revision."""
DEFAULT_THRESHOLD = 0.5
"""The default for all three scores, as of this revision."""


def upgrade() -> None:
    """Adds the column, filled from the stored scores and the recorded thresholds."""
    op.add_column("images", sa.Column("face_faults", sa.JSON, nullable=False, server_default="[]"))
    runs = sa.table("runs", sa.column("id"), sa.column("config", sa.JSON))
    for run in op.get_bind().execute(sa.select(runs)).all():
        _fill(run.id, run.config.get("select_best", {}).get("person_penalties", {}))


def downgrade() -> None:
    """Drops the column."""
    op.drop_column("images", "face_faults")


def _fill(run_id: str, penalties: dict[str, float]) -> None:
    scores = [f"{score}_score" for score, _ in RULES]
    images = sa.table(
        "images",
        *map(sa.column, ("run_id", "path", *scores)),
        sa.column("face_faults", sa.JSON),
    )
    query = sa.select(images).where(images.c.run_id == run_id, images.c.pose_score.is_not(None))
    rows = []
    for image in op.get_bind().execute(query).mappings():
        faults = [
            fault
            for score, fault in RULES
            if image[f"{score}_score"] < penalties.get(f"{score}_threshold", DEFAULT_THRESHOLD)
        ]
        if faults:
            rows.append({"photo": image["path"], "faults": faults})
    if rows:
        change = (
            sa.update(images)
            .where(images.c.run_id == run_id, images.c.path == sa.bindparam("photo"))
            .values(face_faults=sa.bindparam("faults", type_=sa.JSON))
        )
        op.get_bind().execute(change, rows)
