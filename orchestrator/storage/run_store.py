"""Albums, runs and results in SQL."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    case,
    delete,
    func,
    select,
    update,
)

from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.photo import REJECTED
from orchestrator.domain.selection.verdict import Comparisons
from orchestrator.records import (
    Album,
    Cluster,
    ImageFilter,
    ImageRecord,
    Run,
    RunState,
    StoredPhoto,
)
from orchestrator.storage.answers import earlier_change, record_change
from orchestrator.storage.database import insert, is_shared, purge_deleted
from orchestrator.storage.decision_log import carry_decisions
from orchestrator.storage.image_query import (
    BEST_PATH,
    CAPTURE_DATE,
    IS_READABLE,
    SCORE_COLUMNS,
    ImageQuery,
    filter_condition,
)
from orchestrator.storage.people_store import IDENTITY_ROLE
from orchestrator.storage.rows import (
    RUN_COLUMNS,
    add_images,
    album_from_row,
    album_values,
    find_people,
    image_from_row,
    replace_all_images,
    replace_comparisons,
    run_from_row,
    run_values,
    select_images,
)
from orchestrator.storage.stored_folders import album_folders
from orchestrator.storage.tables import albums, faces, features, images, persons, runs
from orchestrator.storage.tables import comparisons as comparisons_table
from services.common.errors import FailedPreconditionError, NotFoundError


@dataclass(frozen=True, slots=True)
class PersonCount:
    """A person with their photos in a run; fields as in orchestrator.proto."""

    person_id: str
    name: str
    image_count: int
    best_path: str


class SqlRunStore:
    """Stores albums, runs and photos, and answers the queries of the API."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._local_lock = threading.Lock()

    # Albums

    def add_album(self, album: Album) -> Album:
        """Stores an album; returns the existing one for its folders, if any.

        A new album starts with the decisions made in albums that share a folder with it.
        """
        with self._engine.begin() as connection:
            values = album_values(album)
            added = insert(connection, albums).values(values).on_conflict_do_nothing()
            if connection.execute(added.returning(albums.c.id)).first() is not None:
                carry_decisions(connection, album)
            same = albums.c.folder == values["folder"]
            row = connection.execute(select(albums).where(same)).one()
        return album_from_row(row)

    def album(self, album_id: str) -> Album:
        """Returns an album; raises NotFoundError if there is none with this id."""
        with self._engine.connect() as connection:
            row = connection.execute(select(albums).where(albums.c.id == album_id)).one_or_none()
        if row is None:
            raise NotFoundError("album", album_id)
        return album_from_row(row)

    def list_albums(self, limit: int, offset: int) -> list[Album]:
        """Lists the albums, oldest first."""
        query = select(albums).order_by(albums.c.create_time, albums.c.id)
        return [album_from_row(row) for row in self._page(query, limit, offset)]

    def rename_album(self, album_id: str, display_name: str) -> None:
        """Renames an album."""
        with self._engine.begin() as connection:
            if earlier_change(connection) is not None:
                return
            connection.execute(
                update(albums).where(albums.c.id == album_id).values(display_name=display_name)
            )
            record_change(connection)

    def delete_album(self, album_id: str) -> None:
        """Deletes an album with its runs, its decisions and its identity vectors.

        Vectors of photos that are also in another album are kept.

        Raises:
            NotFoundError: There is no such album.
        """

        def remove(connection: Connection) -> None:
            if connection.execute(delete(albums).where(albums.c.id == album_id)).rowcount == 0:
                raise NotFoundError("album", album_id)

        self._delete(runs.c.album_id == album_id, remove)

    def find_album(self, album_id: str) -> Album | None:
        """Returns an album; None if there is none."""
        with contextlib.suppress(NotFoundError):
            return self.album(album_id)
        return None

    def album_folders(self) -> list[str]:
        """Returns the folders of all albums."""
        with self._engine.connect() as connection:
            stored = connection.execute(select(albums.c.folder)).scalars()
            return [folder for one in stored for folder in album_folders(one)]

    # Runs

    def save_run(self, run: Run) -> None:
        """Stores a run."""
        with self._engine.begin() as connection:
            _save_run(connection, run)

    def save_results(
        self,
        run: Run,
        records: Sequence[ImageRecord],
        comparisons: Comparisons = MappingProxyType({}),
    ) -> None:
        """Stores a run and replaces its results, all or nothing."""
        with self._engine.begin() as connection:
            _save_run(connection, run)
            replace_all_images(connection, run.id, records)
            replace_comparisons(connection, run.id, None, comparisons)

    def run(self, run_id: str) -> Run:
        """Returns a run; raises NotFoundError if there is none with this id."""
        with self._engine.connect() as connection:
            row = connection.execute(select(*RUN_COLUMNS).where(runs.c.id == run_id)).one_or_none()
        if row is None:
            raise NotFoundError("run", run_id)
        return run_from_row(row)

    def find_run(self, run_id: str) -> Run | None:
        """Returns a run; None if there is none."""
        with contextlib.suppress(NotFoundError):
            return self.run(run_id)
        return None

    def delete_run(self, run_id: str) -> None:
        """Deletes a run with its results, and identity vectors of photos that no other run has.

        Raises:
            NotFoundError: There is no such run.
            FailedPreconditionError: The run is active, or is the reference of another run.
        """

        def remove(connection: Connection) -> None:
            _check_unused(connection, run_id)
            _delete_ended(connection, run_id)

        self._delete(runs.c.id == run_id, remove)

    def _delete(self, is_own: ColumnElement[bool], remove: Callable[[Connection], None]) -> None:
        """Deletes an album or a run, and the identity vectors of photos that no other run has.

        Args:
            is_own: Selects the runs to be deleted.
            remove: Deletes the album or the run itself, or raises an error if that is not possible.
        """
        with self._engine.begin() as connection:
            earlier = earlier_change(connection)
            has_vectors = bool(earlier and earlier.get("has_vectors"))
            if earlier is None:
                has_vectors = _delete_biometrics(connection, is_own) > 0
                remove(connection)
                record_change(connection, has_vectors=has_vectors)
        if has_vectors:
            purge_deleted(self._engine)

    def list_runs(self, album_id: str, limit: int, offset: int) -> list[Run]:
        """Lists the runs of an album (empty = all albums), newest first."""
        query = select(*RUN_COLUMNS).order_by(runs.c.create_time.desc(), runs.c.id)
        if album_id:
            query = query.where(runs.c.album_id == album_id)
        return [run_from_row(row) for row in self._page(query, limit, offset)]

    def is_active(self, album_id: str = "") -> bool:
        """Whether a run of the album (empty = of any album) is queued or running."""
        states = [state.value for state in RunState if not state.is_final]
        query = select(runs.c.id).where(runs.c.state.in_(states))
        if album_id:
            query = query.where(runs.c.album_id == album_id)
        with self._engine.connect() as connection:
            return connection.execute(query.limit(1)).first() is not None

    @contextlib.contextmanager
    def lock(self, run_id: str) -> Iterator[None]:
        """Prevents other threads and orchestrators from reselecting in the run at the same time."""
        with self._local_lock, self._engine.begin() as connection:
            if is_shared(self._engine):
                key = func.hashtextextended(run_id, 0)
                connection.execute(select(func.pg_advisory_xact_lock(key)))
            yield

    # Results

    def save_reselected(
        self,
        run: Run,
        records: Sequence[ImageRecord],
        paths: Sequence[str],
        comparisons: Comparisons,
    ) -> None:
        """Stores a run after a reselection in some of its moments, all or nothing.

        Args:
            run: The run in its new state; the summary is recounted here.
            records: Results that changed.
            paths: All photos of the reselected moments.
            comparisons: The comparisons between these photos that the selection used.
        """
        with self._engine.begin() as connection:
            for record in records:
                connection.execute(
                    delete(images).where(images.c.run_id == run.id, images.c.path == record.path)
                )
            add_images(connection, run.id, records)
            replace_comparisons(connection, run.id, paths, comparisons)
            _record_changed(connection, {record.path for record in records}.intersection(paths))
            if run.summary is not None:
                counts = connection.execute(_counts(run.id)).one()._asdict()
                run = run.revise(summary=dataclasses.replace(run.summary, **counts))
            _save_run(connection, run)

    def find_changed_images(self, run_id: str, known: Collection[str]) -> list[ImageRecord]:
        """Returns the results that attempts at the current request changed, except `known`."""
        with self._engine.connect() as connection:
            paths = (earlier_change(connection) or {}).get("changed_paths", [])
        return [self.image(run_id, path) for path in paths if path not in known]

    def comparisons(self, run_id: str, path: str) -> dict[tuple[str, str], float]:
        """Returns the comparisons used for the selection in a photo's moment, by pairs of paths."""
        cluster = select(images.c.cluster_id).where(
            images.c.run_id == run_id, images.c.path == path, images.c.cluster_id > NOISE
        )
        members = select(images.c.path).where(
            images.c.run_id == run_id, images.c.cluster_id == cluster.scalar_subquery()
        )
        used = comparisons_table.c
        query = select(comparisons_table).where(used.run_id == run_id, used.first_path.in_(members))
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return {(row.first_path, row.second_path): row.first_better_probability for row in rows}

    def all_comparisons(self, run_id: str) -> dict[tuple[str, str], float]:
        """Returns the comparisons that the selection used in any moment, by pairs of paths."""
        query = select(comparisons_table).where(comparisons_table.c.run_id == run_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return {(row.first_path, row.second_path): row.first_better_probability for row in rows}

    def images(
        self,
        run_id: str,
        query: ImageQuery | None = None,
        *,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[ImageRecord]:
        """Returns a run's results that match a query; without one, all of them ordered by path."""
        query = query or ImageQuery()
        statement = query.order(query.restrict(select_images(), run_id))
        return self._read_images(statement.limit(limit).offset(offset))

    def count_images(self, run_id: str, query: ImageQuery | None = None) -> int:
        """Returns the number of results that `images` would return without a limit."""
        counted = (query or ImageQuery()).restrict(select(func.count()).select_from(images), run_id)
        with self._engine.connect() as connection:
            return int(connection.execute(counted).scalar_one())

    def count_by_filter(self, run_id: str) -> dict[ImageFilter, int]:
        """Returns the number of results that pass each filter."""
        counts = [func.count().filter(filter_condition(wanted, run_id)) for wanted in ImageFilter]
        with self._engine.connect() as connection:
            row = connection.execute(select(*counts).where(images.c.run_id == run_id)).one()
        return dict(zip(ImageFilter, row, strict=True))

    def count_by_camera(self, run_id: str) -> dict[str, int]:
        """Returns the number of results of each known camera, ordered by name."""
        return self._count_by(images.c.camera, run_id)

    def count_by_date(self, run_id: str) -> dict[str, int]:
        """Returns the number of results of each known day, in order."""
        return self._count_by(CAPTURE_DATE, run_id)

    def count_by_person(self, run_id: str) -> list[PersonCount]:
        """Counts the results of each named person, ordered by name."""
        is_ranked = images.c.composite_score.is_not(None) & images.c.reason_code.not_in(REJECTED)
        order = ((~is_ranked), images.c.composite_score.desc(), images.c.path)
        shown = select(faces.c.person_id, faces.c.content_digest).distinct().subquery()
        query = (
            select(
                persons.c.id,
                persons.c.name,
                func.row_number().over(partition_by=persons.c.id, order_by=order).label("rank"),
                func.count().over(partition_by=persons.c.id).label("photo_count"),
                case((is_ranked, images.c.path), else_="").label("path"),
            )
            .join(shown, shown.c.person_id == persons.c.id)
            .join(images, images.c.content_digest == shown.c.content_digest)
            .where(images.c.run_id == run_id, persons.c.name != "", persons.c.is_ignored.is_(False))
            .subquery()
        )
        first = select(query).where(query.c.rank == 1).order_by(query.c.name)
        with self._engine.connect() as connection:
            return [
                PersonCount(row.id, row.name, row.photo_count, row.path)
                for row in connection.execute(first)
            ]

    def _count_by(self, column: ColumnElement[str], run_id: str) -> dict[str, int]:
        value = column.label("value")
        query = (
            select(value, func.count())
            .where(images.c.run_id == run_id, column != "")
            .group_by(value)
            .order_by(value)
        )
        with self._engine.connect() as connection:
            return {name: count for name, count in connection.execute(query)}

    def scores(self, run_id: str) -> dict[str, list[float]]:
        """Returns all known values of each score in a run."""
        query = select(*SCORE_COLUMNS.values()).where(images.c.run_id == run_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        columns = zip(*rows, strict=True) if rows else ([] for _ in SCORE_COLUMNS)
        return {
            name: [value for value in column if value is not None]
            for name, column in zip(SCORE_COLUMNS, columns, strict=True)
        }

    def clusters(self, run_id: str, limit: int | None = None, offset: int = 0) -> list[Cluster]:
        """Returns the clusters of a run, ordered by id, without noise."""
        query = (
            select(
                images.c.cluster_id,
                func.count().label("image_count"),
                func.count().filter(images.c.is_selected).label("selected_count"),
                func.coalesce(BEST_PATH, "").label("best_path"),
            )
            .where(images.c.run_id == run_id, images.c.cluster_id > NOISE)
            .group_by(images.c.cluster_id)
            .order_by(images.c.cluster_id)
        )
        return [Cluster(**row._asdict()) for row in self._page(query, limit, offset)]

    def last_contents(self, album_id: str) -> dict[str, str]:
        """Returns content digests by path from an album's newest completed run, if there is one."""
        last = (
            select(runs.c.id)
            .where(runs.c.album_id == album_id, runs.c.state == RunState.COMPLETED.value)
            .order_by(runs.c.create_time.desc(), runs.c.id)
            .limit(1)
        )
        query = select(images.c.path, images.c.content_digest).where(
            images.c.run_id == last.scalar_subquery()
        )
        with self._engine.connect() as connection:
            return {row.path: row.content_digest for row in connection.execute(query)}

    def moments_and_reasons(self, run_id: str) -> list[tuple[str, int, str]]:
        """Returns each readable photo's digest, the algorithm's moment, and the reason code.

        The moments are as they were before they were split by persons; their numbers are arbitrary.
        """
        found, whole = images.c.machine_cluster_id, images.c.whole_moment_id
        query = select(images.c.content_digest, found, whole, images.c.reason_code).where(
            images.c.run_id == run_id, found.is_not(None)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(images.c.path)).all()
        free = len(rows)  # no moment has this number or a larger one
        return [
            (
                row.content_digest,
                row.machine_cluster_id
                if row.whole_moment_id is None
                else free + row.whole_moment_id,
                row.reason_code,
            )
            for row in rows
        ]

    def photo(self, run_id: str, path: str) -> StoredPhoto:
        """Returns only what is needed to show a photo, which is much faster than `image`.

        Raises:
            NotFoundError: There is no such run, or no such photo in it.
        """
        shown = (images.c.path, images.c.content_digest, images.c.width_px, images.c.height_px)
        query = (
            select(albums, *shown, IS_READABLE.label("is_readable"))
            .select_from(images.join(runs, runs.c.id == images.c.run_id).join(albums))
            .where(images.c.run_id == run_id, images.c.path == path)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            self.run(run_id)  # raises NotFoundError if the run itself is missing
            raise NotFoundError("photo", path)
        return StoredPhoto(
            album=album_from_row(row),
            path=row.path,
            content_digest=row.content_digest,
            width_px=row.width_px,
            height_px=row.height_px,
            is_readable=row.is_readable,
        )

    def image(self, run_id: str, path: str) -> ImageRecord:
        """Returns one result; raises NotFoundError if there is none for this path."""
        query = select_images().where(images.c.run_id == run_id, images.c.path == path)
        found = self._read_images(query)
        if not found:
            raise NotFoundError("photo", path)
        return found[0]

    def clusters_of(self, run_id: str, content_digests: Sequence[str]) -> list[ImageRecord]:
        """Returns results of photos with these contents and of their clusters, ordered by path."""
        same = (images.c.run_id == run_id) & images.c.content_digest.in_(content_digests)
        clusters = select(images.c.cluster_id).where(same, images.c.cluster_id > NOISE)
        query = (
            select_images()
            .where(images.c.run_id == run_id)
            .where(same | images.c.cluster_id.in_(clusters))
            .order_by(images.c.path)
        )
        return self._read_images(query)

    def content_digest(self, album_id: str, path: str) -> str:
        """Returns a photo's digest from the newest run with it; raises NotFoundError if none."""
        query = (
            select(images.c.content_digest)
            .join(runs, runs.c.id == images.c.run_id)
            .where(runs.c.album_id == album_id, images.c.path == path)
            .order_by(runs.c.create_time.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            digest = connection.execute(query).scalar_one_or_none()
        if digest is None:
            raise NotFoundError("photo", path)
        return str(digest)

    def _read_images(self, query: Select[Any]) -> list[ImageRecord]:
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
            people = find_people(connection, rows)
        return [image_from_row(row, people) for row in rows]

    def _page(self, query: Select[Any], limit: int | None, offset: int) -> Sequence[Row[Any]]:
        with self._engine.connect() as connection:
            return connection.execute(query.limit(limit).offset(offset)).all()


def _save_run(connection: Connection, run: Run) -> None:
    values = run_values(run)
    statement = insert(connection, runs).values(values)
    changes = {name: statement.excluded[name] for name in values if name != "id"}
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changes))


def _record_changed(connection: Connection, paths: set[str]) -> None:
    """Adds paths to those that the current request has changed."""
    changes = earlier_change(connection) or {}
    record_change(connection, changed_paths=sorted(paths.union(changes.get("changed_paths", []))))


def _counts(run_id: str) -> Select[int, int, int]:
    """Counts the parts of a run's summary that depend on the user's decisions."""
    labels = images.c.cluster_id
    return select(
        func.count(labels.distinct()).filter(labels > NOISE).label("cluster_count"),
        func.count().filter(labels == NOISE).label("noise_count"),
        func.count().filter(images.c.is_selected).label("selected_count"),
    ).where(images.c.run_id == run_id)


def _check_unused(connection: Connection, run_id: str) -> None:
    """Checks that no other run refers to a run."""
    users = select(runs.c.id).where(runs.c.reference_run_id == run_id)
    user = connection.execute(users.order_by(runs.c.create_time.desc())).scalars().first()
    if user is not None:
        raise FailedPreconditionError(
            f"run {run_id} is the reference of run {user}, whose picks depend on it; "
            f"delete that run first"
        )


def _delete_ended(connection: Connection, run_id: str) -> None:
    """Deletes a run that is not in progress."""
    ended = runs.c.state.in_([state.value for state in RunState if state.is_final])
    if connection.execute(delete(runs).where(runs.c.id == run_id, ended)).rowcount == 0:
        if connection.execute(select(runs.c.id).where(runs.c.id == run_id)).first():
            raise FailedPreconditionError(f"run {run_id} is in progress; cancel it first")
        raise NotFoundError("run", run_id)


def _delete_biometrics(connection: Connection, is_own: ColumnElement[bool]) -> int:
    """Deletes identity vectors and faces of photos that appear only in these runs.

    Returns:
        Number of photos whose vectors were deleted.
    """
    photos = select(images.c.content_digest).join(runs, runs.c.id == images.c.run_id)
    own, others = photos.where(is_own), photos.where(~is_own)
    found = {}
    for table in (features, faces):
        digest = table.c.content_digest
        gone = delete(table).where(digest.in_(own), digest.not_in(others))
        if table is features:
            gone = gone.where(features.c.role == IDENTITY_ROLE)
        found[table] = connection.execute(gone).rowcount
    with_faces = select(faces.c.person_id).where(faces.c.person_id.is_not(None))
    connection.execute(delete(persons).where(persons.c.id.not_in(with_faces)))
    return found[features]
