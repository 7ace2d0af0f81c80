"""One run: discover, score, cluster, compare, select. Resumable, because features are cached."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from orchestrator import features as codec
from orchestrator.config import PipelineSettings
from orchestrator.domain.decisions import Correction, corrected
from orchestrator.domain.moments.capture_time import capture_seconds
from orchestrator.domain.moments.parameters import ClusterParameters
from orchestrator.domain.photo import Candidate, Decision, FaceScores, QualityScores, Reason
from orchestrator.domain.scoring import PersonPenalties, face_faults
from orchestrator.domain.selection import (
    Comparisons,
    Verdict,
    pairs_to_compare,
    select_best,
)
from orchestrator.domain.verdict_sentences import damaged, explain, unreadable
from orchestrator.ports import (
    Embedder,
    Embedding,
    FaceAnalyzer,
    FeatureCache,
    ModelIdentity,
    PhotoComparer,
    PhotoFile,
    PhotoSource,
    QualityScorer,
)
from orchestrator.records import ImageRecord, StageProgress
from orchestrator.runs.rendition_cache import Renditions
from orchestrator.storage.photo_io import PhotoThreads, StalledError
from services.common.errors import BestshotError, InvalidImageError
from services.common.imaging.decode import (
    CANONICAL_LONG_SIDE_PX,
    RgbImage,
    encode_thumbnail,
    fit_long_side,
)

logger = logging.getLogger(__name__)

THUMBNAIL_LONG_SIDE_PX = 320
BATCH_BYTES = 64 * 10**6
"""Most bytes of all files in a batch; larger files are read one at a time."""
COMPARE_BLOCK_COUNT = 12
"""Pictures of a side in one Compare call: 24 pictures, at most 144 pairs, split by batch limit."""

FACTS_ROLE, THUMBNAIL_ROLE, COMPARE_ROLE = "facts", codec.THUMBNAIL_ROLE, "siamese"
NO_MODEL = "-"
"""Model digest of features that no model made."""

ItemT = TypeVar("ItemT")
Key = tuple[str, str, str]
Report = Callable[[StageProgress], Awaitable[None]]


@dataclass(frozen=True)
class Services:
    """The model services of a run, with the models that they serve."""

    embedder: Embedder
    scorer: QualityScorer
    analyzer: FaceAnalyzer
    comparer: PhotoComparer
    models: Mapping[str, ModelIdentity]


@dataclass(frozen=True)
class Limits:
    """Bounds of the fan-out: photos a batch, batches at a time."""

    batch_count: int
    concurrent_batches: int


@dataclass(frozen=True)
class ScoredPhoto:
    """A photo after the score stage.

    Attributes:
        record: With scores, or with its error.
        embedding: Unit vector; None where unreadable.
        is_cached: Whether nothing had to be computed.
    """

    record: ImageRecord
    embedding: Embedding | None
    is_cached: bool


@dataclass(frozen=True)
class Outcome:
    """What a run found."""

    records: list[ImageRecord]
    comparisons: dict[tuple[str, str], float]
    cached_count: int
    notes: tuple[str, ...] = ()


class Pipeline:
    """Runs the stages over one album.

    Args:
        source: The album's photos.
        cache: Features of earlier runs.
        services: The models.
        settings: In force for this run.
        clustering: Its clustering parameters, `auto` resolved.
        limits: Bounds of the fan-out.
        report: Gets every change of a stage's progress.
        threads: For reading and decoding photos.
    """

    def __init__(
        self,
        *,
        source: PhotoSource,
        cache: FeatureCache,
        services: Services,
        settings: PipelineSettings,
        clustering: ClusterParameters,
        limits: Limits,
        report: Report,
        threads: PhotoThreads,
    ) -> None:
        self._threads = threads
        self._large_batch = asyncio.Lock()
        self._source = source
        self._cache = cache
        self._services = services
        self._settings = settings
        self._clustering = clustering
        self._limits = limits
        self._report = report
        self._renditions = Renditions()
        self._notes: list[str] = []

    async def run(
        self, decisions: Mapping[str, Decision], corrections: Sequence[Correction]
    ) -> Outcome:
        """Curates the album.

        Args:
            decisions: The user's will by content digest.
            corrections: What the user changed about moments.

        Raises:
            BestshotError: The album holds no photos, or a service fails. Scores finished by then
                stay in the cache.
        """
        photos = await self._discover()
        scored = await self._score(photos)
        readable = [photo for photo in scored if photo.embedding is not None]
        embeddings = stack_embeddings([photo.embedding for photo in readable])
        labels = await self._cluster(embeddings, [photo.record for photo in readable])
        records = grouped([photo.record for photo in readable], labels, corrections)
        comparisons = await self._compare(records, decisions)
        progress = _Stage("select", self._report, total=len(photos))
        judged = judge(records, embeddings, self._settings, comparisons, decisions)
        broken = [photo.record for photo in scored if photo.embedding is None]
        await progress.advance(len(photos))
        await progress.report()
        return Outcome(
            records=sorted([*judged, *broken], key=lambda record: record.path),
            comparisons=comparisons,
            cached_count=sum(photo.is_cached for photo in scored),
            notes=tuple(self._notes),
        )

    async def _discover(self) -> list[PhotoFile]:
        progress = _Stage("discover", self._report)
        photos = await self._threads.reads.run(self._source.list_photos)
        await progress.advance(len(photos))
        await progress.report()
        return photos

    async def _score(self, photos: Sequence[PhotoFile]) -> list[ScoredPhoto]:
        """Scores all photos, a bounded number of batches at a time; the first failure stops all."""
        progress = _Stage("score", self._report, total=len(photos))
        await progress.report()
        batches = iter(list(enumerate(_photo_batches(photos, self._limits.batch_count))))
        results: dict[int, list[ScoredPhoto]] = {}

        async def work() -> None:
            for index, batch in batches:
                results[index] = await self._score_batch(batch)
                await progress.advance(
                    len(batch),
                    failed=sum(photo.embedding is None for photo in results[index]),
                    cached=sum(photo.is_cached for photo in results[index]),
                )

        await run_workers(work, self._limits.concurrent_batches)
        await progress.report()
        return [photo for index in sorted(results) for photo in results[index]]

    async def _score_batch(self, photos: Sequence[PhotoFile]) -> list[ScoredPhoto]:
        if sum(photo.size_bytes for photo in photos) > BATCH_BYTES:
            async with self._large_batch:
                return await self._score_read(photos)
        return await self._score_read(photos)

    async def _score_read(self, photos: Sequence[PhotoFile]) -> list[ScoredPhoto]:
        read = await asyncio.gather(*map(self._read, photos))
        digests = sorted({item.digest for item in read if item.digest})
        keys = [key for digest in digests for key in self._keys(digest).values()]
        known = await asyncio.to_thread(self._cache.get, keys)
        missing: dict[str, bytes] = {}
        for item in read:
            if item.digest and any(key not in known for key in self._keys(item.digest).values()):
                missing[item.digest] = item.content
        computed, errors = await self._compute(missing)
        await asyncio.to_thread(self._cache.put, computed)
        features = {**known, **computed}
        return [
            self._assemble(item, features, errors, is_cached=item.digest not in missing)
            for item in read
        ]

    async def _read(self, photo: PhotoFile) -> _Read:
        try:
            content, digest = await self._threads.reads.run(self._content, photo.path)
        except InvalidImageError as error:
            return _Read(photo, b"", "", error.message)
        except StalledError as error:
            # one file that hangs is unreadable; waiting for each of a whole album takes forever
            await self._threads.reads.run(self._source.check_reachable)
            return _Read(photo, b"", "", error.message)
        return _Read(photo, content, digest, "")

    def _content(self, path: str) -> tuple[bytes, str]:
        content = self._source.read(path)
        return content, hashlib.sha256(content).hexdigest()

    def _keys(self, digest: str) -> dict[str, Key]:
        """Cache keys of everything that a photo needs, by role."""
        keys = {
            role: (digest, role, self._services.models[role].digest)
            for role in ("embedding", "quality", "face")
        }
        for role in (FACTS_ROLE, THUMBNAIL_ROLE):
            keys[role] = (digest, role, NO_MODEL)
        return keys

    async def _compute(
        self, contents: Mapping[str, bytes]
    ) -> tuple[dict[Key, bytes], dict[str, str]]:
        """Decodes and scores photos by digest; returns cache entries, and errors by digest."""
        decoded = await asyncio.gather(
            *(self._threads.decodes.run(self._decode, content) for content in contents.values())
        )
        pixels: dict[str, RgbImage] = {}
        entries: dict[Key, bytes] = {}
        errors: dict[str, str] = {}
        for digest, outcome in zip(contents, decoded, strict=True):
            if isinstance(outcome, str):
                errors[digest] = outcome
            else:
                pixels[digest] = outcome.pixels
                if "siamese" in self._services.models:
                    self._renditions.keep(digest, self._fit_to_compare(outcome.pixels))
                keys = self._keys(digest)
                entries[keys[FACTS_ROLE]] = codec.pack_json(outcome.facts)
                entries[keys[THUMBNAIL_ROLE]] = outcome.thumbnail
        if pixels:
            await self._infer(pixels, entries, errors)
        return {key: payload for key, payload in entries.items() if key[0] not in errors}, errors

    async def _infer(
        self, pixels: Mapping[str, RgbImage], entries: dict[Key, bytes], errors: dict[str, str]
    ) -> None:
        """Calls the three services side by side on decoded photos."""
        images, models = list(pixels.values()), self._services.models
        embeddings, qualities, faces = await asyncio.gather(
            self._services.embedder.embed(images, models["embedding"]),
            self._services.scorer.score(images, models["quality"]),
            self._services.analyzer.analyze(images, models["face"]),
        )
        for digest, embedding, quality, found in zip(
            pixels, embeddings, qualities, faces, strict=True
        ):
            keys = self._keys(digest)
            for role, result in (
                ("embedding", embedding),
                ("quality", quality),
                ("face", found),
            ):
                if isinstance(result, BestshotError):
                    errors[digest] = f"the {role} service could not analyse it: {result.message}"
                else:
                    entries[keys[role]] = _pack(result)

    def _decode(self, content: bytes) -> _Decoded | str:
        try:
            image = self._source.decode(content)
        except InvalidImageError as error:
            return error.message
        facts = {
            "width_px": image.source_width_px,
            "height_px": image.source_height_px,
            "format": image.format,
            "capture_time": image.capture_time,
            "camera": image.camera,
            "damage": image.damage,
        }
        return _Decoded(image.pixels, encode_thumbnail(image.pixels, THUMBNAIL_LONG_SIDE_PX), facts)

    def _assemble(
        self,
        item: _Read,
        features: Mapping[Key, bytes],
        errors: Mapping[str, str],
        *,
        is_cached: bool,
    ) -> ScoredPhoto:
        record = ImageRecord(
            path=item.photo.path,
            content_digest=item.digest,
            size_bytes=item.photo.size_bytes,
            companion_paths=item.photo.companion_paths,
        )
        error = item.error or errors.get(item.digest, "")
        if error:
            broken = dataclasses.replace(
                record,
                error=error,
                reason_code=Reason.UNREADABLE.value,
                reason=unreadable(error),
            )
            return ScoredPhoto(broken, None, is_cached=False)
        keys = self._keys(item.digest)
        record = dataclasses.replace(
            record,
            quality=codec.quality_from_json(codec.unpack_json(features[keys["quality"]])),
            faces=codec.faces_from_json(codec.unpack_json(features[keys["face"]])),
            **codec.unpack_json(features[keys[FACTS_ROLE]]),
        )
        return ScoredPhoto(
            record, codec.unpack_embedding(features[keys["embedding"]]), is_cached=is_cached
        )

    async def _cluster(
        self, embeddings: NDArray[np.float32], records: Sequence[ImageRecord]
    ) -> NDArray[np.int64]:
        progress = _Stage("cluster", self._report, total=len(embeddings))
        await progress.report()
        labels = await asyncio.to_thread(
            cluster, embeddings, records, self._clustering, self._notes.append
        )
        await progress.advance(len(embeddings))
        await progress.report()
        return labels

    async def _compare(
        self, records: Sequence[ImageRecord], decisions: Mapping[str, Decision]
    ) -> dict[tuple[str, str], float]:
        """Asks the comparator about all pairs of tied photos, those answered before left out."""
        pairs = wanted_pairs(records, self._settings, decisions)
        digests = {record.path: record.content_digest for record in records}
        progress = _Stage("compare", self._report, total=len(pairs))
        await progress.report()
        comparisons = await asyncio.to_thread(self.known_comparisons, pairs, digests)
        await progress.advance(len(comparisons), cached=len(comparisons))
        blocks = iter(_pair_blocks([pair for pair in pairs if pair not in comparisons]))

        async def work() -> None:
            for block in blocks:
                answers = await self.compare_pairs(block, digests)
                comparisons.update(answers)
                await progress.advance(len(block), failed=len(block) - len(answers))

        await run_workers(work, self._limits.concurrent_batches)
        await progress.report()
        return comparisons

    def known_comparisons(
        self, pairs: Sequence[tuple[str, str]], digests: Mapping[str, str]
    ) -> dict[tuple[str, str], float]:
        """Answers pairs of paths from the cache."""
        model = self._services.models.get("siamese")
        return cached_comparisons(self._cache, pairs, digests, model.digest if model else "")

    async def compare_pairs(
        self, pairs: Sequence[tuple[str, str]], digests: Mapping[str, str]
    ) -> dict[tuple[str, str], float]:
        """Compares pairs of paths by the service and stores the answers."""
        paths = sorted({path for pair in pairs for path in pair})
        images = await asyncio.gather(*(self._rendition(path, digests[path]) for path in paths))
        index = {path: position for position, path in enumerate(paths)}
        model = self._services.models["siamese"]
        answers: dict[tuple[str, str], float] = {}
        entries: dict[Key, bytes] = {}
        for part in _batches(pairs, model.max_batch_count):
            results = await self._services.comparer.compare(
                images, [(index[first], index[second]) for first, second in part], model
            )
            for pair, result in zip(part, results, strict=True):
                if isinstance(result, BestshotError):
                    logger.warning("cannot compare a pair: %s", result.message)
                    continue
                answers[pair] = result
                key, is_swapped = _comparison_key(*pair, digests, model.digest)
                entries[key] = codec.pack_json(1.0 - result if is_swapped else result)
        await asyncio.to_thread(self._cache.put, entries)
        return answers

    async def _rendition(self, path: str, digest: str) -> RgbImage:
        """A photo at the comparator's size: kept from its decode, or decoded anew."""
        kept = self._renditions.get(digest)
        if kept is not None:
            return kept
        content = await self._threads.reads.run(self._source.read, path)
        pixels = (await self._threads.decodes.run(self._source.decode, content)).pixels
        return self._renditions.keep(digest, self._fit_to_compare(pixels))

    def _fit_to_compare(self, pixels: RgbImage) -> RgbImage:
        wanted = self._services.models["siamese"].input_long_side_px
        return fit_long_side(pixels, wanted or CANONICAL_LONG_SIDE_PX)


@dataclass(frozen=True)
class _Read:
    photo: PhotoFile
    content: bytes
    digest: str
    error: str


@dataclass(frozen=True)
class _Decoded:
    pixels: RgbImage
    thumbnail: bytes
    facts: dict[str, Any]


class _Stage:
    """Counts a stage's items and reports them."""

    def __init__(self, name: str, report: Report, total: int = 0) -> None:
        self._report = report
        self._began = time.monotonic()
        self._progress = StageProgress(stage=name, total_count=total)

    async def advance(self, count: int, *, failed: int = 0, cached: int = 0) -> None:
        now = self._progress
        self._progress = dataclasses.replace(
            now,
            completed_count=now.completed_count + count,
            total_count=max(now.total_count, now.completed_count + count),
            failed_count=now.failed_count + failed,
            cached_count=now.cached_count + cached,
            elapsed_seconds=time.monotonic() - self._began,
        )
        await self._report(self._progress)

    async def report(self) -> None:
        """Tells how far it is: as it begins, before its first items are done, and as it ends."""
        await self.advance(0)


async def run_workers(work: Callable[[], Awaitable[None]], count: int) -> None:
    """Runs `count` copies of `work`; the first failure cancels the others and is raised."""
    tasks = [asyncio.ensure_future(work()) for _ in range(count)]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def cluster(
    embeddings: NDArray[np.float32],
    records: Sequence[ImageRecord],
    parameters: ClusterParameters,
    note: Callable[[str], object] = logger.warning,
) -> NDArray[np.int64]:
    """`cluster_scenes`, and time evidence where it is wanted.

    Their libraries take a second to load: not before they are wanted.

    Args:
        embeddings: float32, (n, d), row i for record i.
        records: Readable photos.
        parameters: In force.
        note: Receives the notes of the run; see `cluster_scenes`.
    """
    from orchestrator.domain.moments.clustering import cluster_scenes
    from orchestrator.domain.moments.time_evidence import Captures, with_time_evidence

    seconds = np.array([capture_seconds(record.capture_time) for record in records])
    labels = cluster_scenes(embeddings, parameters, seconds, note)
    if not parameters.capture_time.enabled:
        return labels
    captures = Captures(seconds, [record.camera for record in records])
    return with_time_evidence(
        labels, embeddings, captures, parameters.capture_time, parameters.metric
    )


def grouped(
    records: Sequence[ImageRecord],
    labels: NDArray[np.int64],
    corrections: Sequence[Correction],
) -> list[ImageRecord]:
    """Puts photos into the moments that the algorithm found and the user corrected.

    Args:
        records: Readable photos, ordered by path.
        labels: (n,), the algorithm's.
        corrections: The user's, in order.
    """
    digests = [record.content_digest for record in records]
    final = corrected(labels, digests, corrections)
    return [
        dataclasses.replace(record, machine_cluster_id=int(machine), cluster_id=int(label))
        for record, machine, label in zip(records, labels, final, strict=True)
    ]


def stack_embeddings(embeddings: Sequence[Embedding | None]) -> NDArray[np.float32]:
    """Stacks vectors to (n, d); (0, 1) for none."""
    rows = [embedding for embedding in embeddings if embedding is not None]
    return np.stack(rows) if rows else np.empty((0, 1), np.float32)


def wanted_pairs(
    records: Sequence[ImageRecord],
    settings: PipelineSettings,
    decisions: Mapping[str, Decision],
) -> list[tuple[str, str]]:
    """Lists the pairs of paths that the selection wants compared."""
    candidates, by_path = _candidates(records, decisions)
    return pairs_to_compare(
        candidates,
        settings.filter_quality,
        settings.select_best,
        by_path,
    )


def judge(
    records: Sequence[ImageRecord],
    embeddings: NDArray[np.float32],
    settings: PipelineSettings,
    comparisons: Comparisons,
    decisions: Mapping[str, Decision],
) -> list[ImageRecord]:
    """Selects and explains: completes clustered records with their verdicts.

    Args:
        records: Readable photos with their cluster_id.
        embeddings: float32, (n, d), row i for record i.
        settings: In force.
        comparisons: Answers to `wanted_pairs`.
        decisions: The user's will by content digest.
    """
    filters = settings.filter_quality
    parameters = settings.select_best
    candidates, verdicts = verdicts_of(records, embeddings, settings, comparisons, decisions)
    reasons = explain(candidates, verdicts, filters, parameters)
    return [
        _with_verdict(record, verdict, reason, parameters.person_penalties)
        for record, verdict, reason in zip(records, verdicts, reasons, strict=True)
    ]


def verdicts_of(
    records: Sequence[ImageRecord],
    embeddings: NDArray[np.float32],
    settings: PipelineSettings,
    comparisons: Comparisons,
    decisions: Mapping[str, Decision],
) -> tuple[list[Candidate], list[Verdict]]:
    """Selects; arguments as those of `judge`, results in the order of `records`."""
    candidates, by_path = _candidates(records, decisions)
    verdicts = select_best(
        candidates,
        embeddings,
        settings.filter_quality,
        settings.select_best,
        comparisons,
        by_path,
    )
    return candidates, verdicts


def cached_comparisons(
    cache: FeatureCache,
    pairs: Sequence[tuple[str, str]],
    digests: Mapping[str, str],
    model_digest: str,
) -> dict[tuple[str, str], float]:
    """Answers pairs of paths from the cache; two copies of one file are an even match."""
    known: dict[tuple[str, str], float] = {}
    for part in _batches(pairs, 500):
        keys = {pair: _comparison_key(*pair, digests, model_digest) for pair in part}
        found = cache.get([key for key, _ in keys.values()])
        for pair, (key, is_swapped) in keys.items():
            if digests[pair[0]] == digests[pair[1]]:
                known[pair] = 0.5
            elif key in found:
                probability = float(codec.unpack_json(found[key]))
                known[pair] = 1.0 - probability if is_swapped else probability
    return known


def _comparison_key(
    first: str, second: str, digests: Mapping[str, str], model_digest: str
) -> tuple[Key, bool]:
    """Cache key of a pair, its digests in order, and whether that swaps the pair."""
    low, high = sorted((digests[first], digests[second]))
    joint = hashlib.sha256(f"{low}{high}".encode()).hexdigest()
    return (joint, COMPARE_ROLE, model_digest), digests[first] != low


def _candidates(
    records: Sequence[ImageRecord], decisions: Mapping[str, Decision]
) -> tuple[list[Candidate], dict[str, Decision]]:
    candidates = []
    by_path: dict[str, Decision] = {}
    for record in records:
        if record.quality is None or record.cluster_id is None:
            raise ValueError(f"{record.path} is neither scored nor clustered")
        candidates.append(Candidate(record.path, record.quality, record.faces, record.cluster_id))
        if record.content_digest in decisions:
            by_path[record.path] = decisions[record.content_digest]
    return candidates, by_path


def _with_verdict(
    record: ImageRecord, verdict: Verdict, reason: str, penalties: PersonPenalties
) -> ImageRecord:
    worst = verdict.worst
    return dataclasses.replace(
        record,
        pose_score=worst.pose_score if worst else None,
        eyes_score=worst.eyes_score if worst else None,
        smile_score=worst.smile_score if worst else None,
        person_penalty=verdict.person_penalty,
        face_faults=face_faults(worst, penalties),
        composite_score=verdict.composite_score,
        is_selected=verdict.is_selected,
        reason_code=verdict.reason.value,
        reason=f"{reason} {damaged(record.damage)}" if record.damage else reason,
        lost_to_path=verdict.lost_to or "",
    )


def _pack(result: Embedding | QualityScores | tuple[FaceScores, ...]) -> bytes:
    if isinstance(result, np.ndarray):
        return codec.pack_embedding(result)
    if isinstance(result, QualityScores):
        return codec.pack_json(codec.quality_to_json(result))
    return codec.pack_json(codec.faces_to_json(result))


def _batches(items: Sequence[ItemT], count: int) -> Iterator[list[ItemT]]:
    iterator = iter(items)
    while batch := list(islice(iterator, count)):
        yield batch


def _photo_batches(photos: Sequence[PhotoFile], count: int) -> Iterator[list[PhotoFile]]:
    """Batches of at most `count` photos and `BATCH_BYTES`; a larger photo gets its own batch."""
    batch: list[PhotoFile] = []
    for photo in photos:
        size = sum(other.size_bytes for other in batch) + photo.size_bytes
        if batch and (len(batch) == count or size > BATCH_BYTES):
            yield batch
            batch = []
        batch.append(photo)
    if batch:
        yield batch


def _pair_blocks(pairs: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Groups pairs so that few pictures serve many pairs of a call."""
    order = {path: index for index, path in enumerate(sorted({p for pair in pairs for p in pair}))}
    blocks: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for pair in pairs:
        first, second = (order[path] // COMPARE_BLOCK_COUNT for path in pair)
        blocks.setdefault((first, second), []).append(pair)
    yield from (blocks[key] for key in sorted(blocks))
