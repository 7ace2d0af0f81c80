"""Compares pairs of photos using the Siamese service, and caches the results.

`orchestrator.domain.selection.ranking` chooses the pairs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence

from orchestrator import features as codec
from orchestrator.domain.selection.verdict import Pair
from orchestrator.ports import FeatureCache, ModelIdentity, PhotoComparer, PhotoSource
from orchestrator.runs.compared_pixels import MAX_KEPT_BYTES, Renditions
from orchestrator.runs.stored_features import Key, comparison_key, find_comparisons
from orchestrator.storage.photo_io import PhotoThreads
from services.common.errors import BestshotError
from services.common.imaging.decode import CANONICAL_LONG_SIDE_PX, RgbImage, fit_long_side

logger = logging.getLogger(__name__)

COMPARE_BLOCK_COUNT = 12
"""Pictures per side of a block: 24 pictures, at most 144 pairs; calls respect the batch limit."""


class PairComparer:
    """Compares photos of one album.

    Args:
        source: The album's photos.
        cache: Comparisons of earlier runs.
        service: The Siamese service.
        model: The model that it serves.
        threads: Threads for reading and decoding photos.
        kept_bytes: Total size of the pictures to keep for further comparisons.
    """

    def __init__(
        self,
        source: PhotoSource,
        cache: FeatureCache,
        service: PhotoComparer,
        model: ModelIdentity,
        threads: PhotoThreads,
        kept_bytes: int = MAX_KEPT_BYTES,
    ) -> None:
        self._source = source
        self._cache = cache
        self._service = service
        self._model = model
        self._threads = threads
        self._renditions = Renditions(kept_bytes)
        self._long_side_px = model.input_long_side_px or CANONICAL_LONG_SIDE_PX

    def keep_pixels(self, digest: str, pixels: RgbImage) -> RgbImage:
        """Keeps and returns a decoded photo at the model's size, so that it is decoded once."""
        return self._renditions.keep(digest, fit_long_side(pixels, self._long_side_px))

    def find_known(self, pairs: Sequence[Pair], digests: Mapping[str, str]) -> dict[Pair, float]:
        """Looks up pairs of paths in the cache; blocking."""
        return find_comparisons(self._cache, pairs, digests, self._model.digest)

    async def compare(self, pairs: Sequence[Pair], digests: Mapping[str, str]) -> dict[Pair, float]:
        """Compares any number of pairs, block by block; see `compare_block`."""
        answers: dict[Pair, float] = {}
        for block in split_into_blocks(pairs):
            answers.update(await self.compare_block(block, digests))
        return answers

    async def compare_block(
        self, pairs: Sequence[Pair], digests: Mapping[str, str]
    ) -> dict[Pair, float]:
        """Compares pairs of paths using the service and stores the results.

        Args:
            pairs: A block from `split_into_blocks`, because all its photos are in memory at once.
            digests: Content digests by path.

        Returns:
            Probabilities that the first photo is the better one, without the pairs that failed.
        """
        paths = sorted({path for pair in pairs for path in pair})
        async with self._threads.pixels.hold(len(paths) * 3 * self._long_side_px**2):
            answers = await self._ask(pairs, paths, digests)
        entries: dict[Key, bytes] = {}
        for pair, result in answers.items():
            key, is_swapped = comparison_key(pair, digests, self._model.digest)
            entries[key] = codec.pack_json(1.0 - result if is_swapped else result)
        await asyncio.to_thread(self._cache.put, entries)
        return answers

    async def _ask(
        self, pairs: Sequence[Pair], paths: Sequence[str], digests: Mapping[str, str]
    ) -> dict[Pair, float]:
        images = await asyncio.gather(*(self._read_pixels(path, digests[path]) for path in paths))
        index = {path: position for position, path in enumerate(paths)}
        answers: dict[Pair, float] = {}
        for start in range(0, len(pairs), self._model.max_batch_count):
            part = pairs[start : start + self._model.max_batch_count]
            results = await self._service.compare(
                images, [(index[first], index[second]) for first, second in part], self._model
            )
            for pair, result in zip(part, results, strict=True):
                if isinstance(result, BestshotError):
                    logger.warning("cannot compare a pair: %s", result.message)
                else:
                    answers[pair] = result
        return answers

    async def _read_pixels(self, path: str, digest: str) -> RgbImage:
        """Returns a photo at the model's size, kept from its first decode or decoded again.

        Raises:
            FailedPreconditionError: The file has changed, so the answer would be stored for a
                different picture.
        """
        kept = self._renditions.get(digest)
        if kept is not None:
            return kept
        threads = self._threads
        reads, decodes = threads.reads, threads.decodes
        async with threads.hold_content(self._source, path, digest, reads, decodes) as content:
            decoded = await decodes.run(self._source.decode, content)
        return self.keep_pixels(digest, decoded.pixels)


def split_into_blocks(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Groups pairs into blocks, so that each call has few pictures for many pairs."""
    order = {path: index for index, path in enumerate(sorted({p for pair in pairs for p in pair}))}
    blocks: dict[tuple[int, int], list[Pair]] = {}
    for pair in pairs:
        first, second = (order[path] // COMPARE_BLOCK_COUNT for path in pair)
        blocks.setdefault((first, second), []).append(pair)
    yield from (blocks[key] for key in sorted(blocks))
