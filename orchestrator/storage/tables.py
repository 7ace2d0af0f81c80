"""The database tables as new databases have them; a test checks that migrations create the same."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)

from services.common.errors import NonFiniteError

PATH = Text().with_variant(Text(collation="C"), "postgresql")
"""A path, ordered by its bytes regardless of the database's collation."""


class _Score(TypeDecorator[float]):
    """A finite number: SQLite would store NaN as NULL, and PostgreSQL as NaN."""

    impl = Float(53)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ANN401
        if value is not None and not math.isfinite(value):
            raise NonFiniteError(f"a score is {value}, which cannot be stored")
        return value


SCORE = _Score()

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

albums = Table(
    "albums",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("folder", Text, nullable=False, unique=True),
    Column("create_time", DateTime(timezone=True), nullable=False),
)
"""`folder` is an absolute path, or a JSON list of several, which never equals an absolute path."""

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("album_id", ForeignKey("albums.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("state", String(16), nullable=False, index=True),
    Column("profile", Text, nullable=False),
    Column("config", JSON, nullable=False),
    Column("models", JSON, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("start_time", DateTime(timezone=True)),
    Column("end_time", DateTime(timezone=True)),
    Column("stages", JSON, nullable=False),
    Column("error", Text, nullable=False),
    Column("summary", JSON),
    Column("source_run_id", String(32), nullable=False),
    Column("reference_run_id", String(32), nullable=False, server_default=""),
    Column("decisions", JSON, nullable=False, server_default="{}"),
    Column("corrections", JSON, nullable=False, server_default="[]"),
    Column("notes", JSON, nullable=False, server_default="[]"),
    Column("persons", JSON, nullable=False, server_default="{}"),
    Column("owner_id", Text),
    Column("lease_expire_time", DateTime(timezone=True)),
    Column("is_cancel_requested", Boolean, nullable=False, server_default=false()),
    Column("takeover_count", Integer, nullable=False, server_default="0"),
)
"""The last four columns belong to `run_queue`: which orchestrator owns the run, and until when."""

images = Table(
    "images",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("content_digest", String(64), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    Column("damage", Text, nullable=False),
    Column("width_px", Integer, nullable=False),
    Column("height_px", Integer, nullable=False),
    Column("capture_time", String(40), nullable=False),
    Column("capture_time_source", Text, nullable=False, server_default=""),
    Column("capture_utc_offset", String(6), nullable=False, server_default=""),
    Column("camera", Text, nullable=False, server_default=""),
    Column("camera_facts", JSON, nullable=False, server_default="{}"),
    Column("owner_mark", JSON, nullable=False, server_default="{}"),
    Column("companion_paths", JSON, nullable=False, server_default="[]"),
    Column("version_of_path", Text, nullable=False, server_default=""),
    Column("format", String(16), nullable=False),
    Column("content_class", String(16), nullable=False, server_default=""),
    Column("quality", JSON),
    Column("faces", JSON, nullable=False),
    Column("pose_score", SCORE),
    Column("eyes_score", SCORE),
    Column("smile_score", SCORE),
    Column("cluster_id", Integer),
    Column("machine_cluster_id", Integer),
    Column("person_penalty", SCORE),
    Column("face_faults", JSON, nullable=False, server_default="[]"),
    Column("composite_score", SCORE),
    Column("is_selected", Boolean, nullable=False),
    Column("reason_code", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("lost_to_path", Text, nullable=False),
    Column("set_kind", String(32), nullable=False, server_default=""),
    Column("set_id", Integer),
    Column("set_place", Integer),
    Column("set_size", Integer),
    Column("altered_from_path", Text, nullable=False, server_default=""),
    Column("alterations", JSON, nullable=False, server_default="[]"),
    Column("person_ids", JSON, nullable=False, server_default="[]"),
    Column("judged_faces", JSON, nullable=False, server_default="[]"),
    Column("whole_moment_id", Integer),
    Column("moment_people", Text, nullable=False, server_default=""),
    Column("brought_in_for", JSON, nullable=False, server_default="[]"),
)

comparisons = Table(
    "comparisons",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("first_path", PATH, primary_key=True),
    Column("second_path", PATH, primary_key=True),
    Column("first_better_probability", SCORE, nullable=False),
)

features = Table(
    "features",
    metadata,
    Column("content_digest", String(64), primary_key=True),
    Column("role", String(16), primary_key=True),
    Column("model_digest", String(64), primary_key=True),
    Column("canonical_version", String(16), primary_key=True),
    Column("payload", LargeBinary, nullable=False),
)

decision_log = Table(
    "decision_log",
    metadata,
    Column("album_id", ForeignKey("albums.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("action", String(8), nullable=False),
    Column("photos", JSON, nullable=False),
    Column("target", JSON(none_as_null=True)),
    Column("undone_id", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("decided_by", Text, nullable=False, server_default=""),
    Column("stars", Integer, nullable=False, server_default="0"),
    Column("label", Text, nullable=False, server_default=""),
    Column("run_id", String(32), nullable=False, server_default=""),
    UniqueConstraint("album_id", "id"),
)
"""Append-only; `sequence` counts an album's entries from 1."""

decisions = Table(
    "decisions",
    metadata,
    Column("album_id", ForeignKey("albums.id", ondelete="CASCADE"), primary_key=True),
    Column("content_digest", String(64), primary_key=True),
    Column("decision", String(8), nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
)
"""Current decisions on single photos, derived from the log for queries."""

file_stamps = Table(
    "file_stamps",
    metadata,
    Column("album_id", ForeignKey("albums.id", ondelete="CASCADE"), primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("stamp", Text, nullable=False),
    Column("content_digest", String(64), nullable=False),
)
"""The status that an album's files had when their content was hashed."""

persons = Table(
    "persons",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("is_ignored", Boolean, nullable=False),
    Column("is_important", Boolean, nullable=False, server_default=false()),
)
"""The people of all albums; like `faces`, derived from the vectors and from `people_log`."""

faces = Table(
    "faces",
    metadata,
    Column("content_digest", String(64), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("left", SCORE, nullable=False),
    Column("top", SCORE, nullable=False),
    Column("width", SCORE, nullable=False),
    Column("height", SCORE, nullable=False),
    Column("clarity", SCORE, nullable=False),
    Column("person_id", ForeignKey("persons.id", ondelete="CASCADE"), index=True),
    Column("similarity", SCORE),
)
"""`place` counts a photo's faces from 0."""

people_log = Table(
    "people_log",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("action", String(16), nullable=False),
    Column("person_id", String(32), nullable=False),
    Column("faces", JSON, nullable=False),
    Column("other_person_id", String(32), nullable=False),
    Column("rest", JSON, nullable=False),
    Column("name", Text, nullable=False),
    Column("undone_id", Text, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("decided_by", Text, nullable=False),
)
"""What the user has said about people; append-only."""

identity_models = Table(
    "identity_models",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("same_person_similarity", SCORE, nullable=False),
)
"""At most one row: the digest of the models whose vectors `faces` is derived from."""

identity_erasures = Table(
    "identity_erasures",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("erase_time", DateTime(timezone=True)),
)
"""One row: when identity vectors were last erased; runs created before then must not store any."""

user_marks = Table(
    "user_marks",
    metadata,
    Column("album_id", ForeignKey("albums.id", ondelete="CASCADE"), primary_key=True),
    Column("content_digest", String(64), primary_key=True),
    Column("stars", Integer, nullable=False),
    Column("label", Text, nullable=False),
)
"""Current stars and colour labels, derived from `decision_log` for queries."""

answers = Table(
    "answers",
    metadata,
    Column("request_id", String(36), primary_key=True),
    Column("request_digest", String(64), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False, index=True),
    Column("changes", LargeBinary, nullable=False, server_default=""),
)
"""Answers to calls that change data and had a request_id. `answer` is the serialized response,
empty until it is stored; `changes` is the JSON data from `record_change`."""
