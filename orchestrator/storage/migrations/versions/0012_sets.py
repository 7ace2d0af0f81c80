"""Sets of photos that belong together, such as exposure brackets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; earlier runs did not look for sets."""
    op.add_column("images", sa.Column("set_kind", sa.String(32), nullable=False, server_default=""))
    for name in ("set_id", "set_place", "set_size"):
        op.add_column("images", sa.Column(name, sa.Integer))


def downgrade() -> None:
    """Drops the columns."""
    for name in ("set_size", "set_place", "set_id", "set_kind"):
        op.drop_column("images", name)
