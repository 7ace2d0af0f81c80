from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass

import pytest
from google.rpc import code_pb2, status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import InvalidImageError, ResourceExhaustedError
from services.common.inference.batching import Batching, DynamicBatcher
from services.common.process.metrics import Metrics
from services.common.rpc.turns import Turns


@dataclass(frozen=True)
class Item:
    """An item from a caller; some items fail during preparation, some during inference."""

    caller: int
    number: int
    fate: str = "fine"


class Model:
    """Returns the caller of each item; counts preparations and inferences."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self.batches: list[list[Item]] = []
        self._pause_s = pause_s
        self._lock = threading.Lock()

    def prepare(self, item: Item) -> Item:
        if item.fate == "unreadable":
            raise InvalidImageError("cannot be read")
        return item

    def infer(self, items: list[Item]) -> list[tuple[int, int]]:
        with self._lock:
            self.batches.append(items)
        time.sleep(self._pause_s)
        if any(item.fate == "poison" for item in items):
            raise ValueError("one of them crashes the library")
        return [(item.caller, item.number) for item in items]


def limits(**changes: float) -> Batching:
    values = {
        "max_queue_delay_ms": 0.0,
        "max_queue_count": 1000,
        "worker_threads": 1,
        "metrics": Metrics(),
    }
    return Batching(**{"preferred_batch_count": 4, **values, **changes})  # type: ignore[arg-type]


fates = st.sampled_from(["fine", "fine", "fine", "unreadable", "poison"])
callers = st.lists(
    st.tuples(
        st.lists(fates, min_size=1, max_size=6), st.sampled_from(["waits", "cancels", "late"])
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60)
@given(callers, st.integers(1, 5), st.sampled_from([0.0, 2.0]), st.integers(1, 3))
def test_no_item_is_lost_duplicated_mixed_up_or_left_waiting(
    drawn: list[tuple[list[str], str]], preferred: int, delay_ms: float, threads: int
) -> None:
    model = Model(pause_s=0.001)

    async def call(batcher: DynamicBatcher, caller: int, kinds: list[str], mood: str) -> None:
        items = [Item(caller, number, fate) for number, fate in enumerate(kinds)]
        asked = asyncio.ensure_future(batcher.map(items))
        if mood == "cancels":
            await asyncio.sleep(0.001)
            asked.cancel()
            await asyncio.wait([asked])
            return
        deadline = 0.002 if mood == "late" else 20
        try:
            results = await asyncio.wait_for(asked, deadline)
        except TimeoutError:
            assert mood == "late"
            return
        for item, result in zip(items, results, strict=True):
            if item.fate == "fine":
                assert result == (caller, item.number)
            else:
                assert isinstance(result, status_pb2.Status)
                unreadable = item.fate == "unreadable"
                wanted = code_pb2.INVALID_ARGUMENT if unreadable else code_pb2.INTERNAL
                assert result.code == wanted

    async def scenario() -> None:
        bounds = limits(
            preferred_batch_count=preferred, max_queue_delay_ms=delay_ms, worker_threads=threads
        )
        batcher: DynamicBatcher = DynamicBatcher(model.prepare, model.infer, bounds)
        await asyncio.gather(
            *(call(batcher, caller, kinds, mood) for caller, (kinds, mood) in enumerate(drawn))
        )
        after = await asyncio.wait_for(batcher.map([Item(99, 0)]), 20)
        assert after == [(99, 0)]
        await batcher.close()

    asyncio.run(scenario())
    assert all(1 <= len(batch) <= preferred for batch in model.batches)
    answered = [item for batch in model.batches for item in batch if item.fate == "fine"]
    with_poison = {item for batch in model.batches if len(batch) > 1 for item in batch}
    for item in set(answered) - with_poison:
        assert answered.count(item) == 1


def test_items_of_many_callers_share_an_inference() -> None:
    model = Model(pause_s=0.02)

    async def scenario() -> None:
        bounds = limits(preferred_batch_count=8)
        batcher: DynamicBatcher = DynamicBatcher(model.prepare, model.infer, bounds)
        await asyncio.gather(*(batcher.map([Item(caller, 0)]) for caller in range(16)))
        await batcher.close()

    asyncio.run(scenario())
    assert len(model.batches) < 16
    assert max(len({item.caller for item in batch}) for batch in model.batches) > 1


def test_an_inference_that_is_not_full_waits_for_the_maximum_delay() -> None:
    model = Model()

    async def scenario(delay_ms: float) -> int:
        model.batches.clear()
        bounds = limits(max_queue_delay_ms=delay_ms, preferred_batch_count=2, worker_threads=2)
        batcher: DynamicBatcher = DynamicBatcher(model.prepare, model.infer, bounds)
        first = asyncio.ensure_future(batcher.map([Item(0, 0)]))
        await asyncio.sleep(0.02)
        second = asyncio.ensure_future(batcher.map([Item(1, 0)]))
        assert await asyncio.gather(first, second) == [[(0, 0)], [(1, 0)]]
        await batcher.close()
        return len(model.batches)

    assert asyncio.run(scenario(5000.0)) == 1
    assert asyncio.run(scenario(0.0)) == 2


def test_a_request_beyond_the_limit_waits_and_one_that_never_fits_is_refused() -> None:
    model = Model()

    async def scenario() -> None:
        batcher: DynamicBatcher = DynamicBatcher(
            model.prepare, model.infer, limits(max_queue_count=5)
        )
        with pytest.raises(ResourceExhaustedError, match=r"6 items; the limit is 5"):
            await batcher.map([Item(0, number) for number in range(6)])
        answers = await asyncio.gather(
            *(batcher.map([Item(caller, number) for number in range(4)]) for caller in range(5))
        )
        assert answers == [[(caller, number) for number in range(4)] for caller in range(5)]
        await batcher.close()

    asyncio.run(scenario())


@given(st.integers(2, 24), st.integers(1, 3), st.integers(1, 6), st.integers(1, 3))
@settings(max_examples=20)
def test_no_caller_gets_ahead_of_the_others(
    caller_count: int, threads: int, queue_count: int, item_count: int
) -> None:
    model = Model()
    room = max(queue_count, item_count)
    served = [0] * caller_count
    spreads: list[int] = []

    async def call_often(batcher: DynamicBatcher, caller: int) -> None:
        for _ in range(5):
            await batcher.map([Item(caller, number) for number in range(item_count)])
            served[caller] += 1
            spreads.append(max(served) - min(served))

    async def scenario() -> None:
        bounds = limits(max_queue_count=room, worker_threads=threads, preferred_batch_count=1)
        batcher: DynamicBatcher = DynamicBatcher(model.prepare, model.infer, bounds)
        await asyncio.gather(*(call_often(batcher, caller) for caller in range(caller_count)))
        await batcher.close()

    asyncio.run(scenario())
    assert served == [5] * caller_count
    if caller_count > room // item_count:  # otherwise nobody waits, and the order is random
        assert max(spreads) <= 2


@given(
    st.integers(1, 10),
    st.lists(st.tuples(st.integers(1, 10), st.booleans()), min_size=1, max_size=20),
)
def test_turns_never_exceed_the_amount_and_are_granted_in_order(
    amount: int, drawn: list[tuple[int, bool]]
) -> None:
    held, order = [0], []

    async def caller(turns: Turns, number: int, share: int) -> None:
        await turns.take(share)
        held[0] += share
        order.append(number)
        try:
            assert held[0] <= amount
            await asyncio.sleep(0)
        finally:
            held[0] -= share
            turns.release(share)

    async def scenario() -> None:
        turns = Turns(amount)
        tasks = [
            asyncio.ensure_future(caller(turns, number, min(share, amount)))
            for number, (share, _) in enumerate(drawn)
        ]
        await asyncio.sleep(0)
        for task, (_, leaves) in zip(tasks, drawn, strict=True):
            if leaves:
                task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in outcomes if isinstance(one, AssertionError)]

    asyncio.run(scenario())
    stayed = [number for number, (_, leaves) in enumerate(drawn) if not leaves]
    assert [number for number in order if number in stayed] == stayed


def test_a_cancelled_call_drops_only_its_own_items() -> None:
    model = Model(pause_s=0.05)

    async def scenario() -> None:
        batcher: DynamicBatcher = DynamicBatcher(
            model.prepare, model.infer, limits(preferred_batch_count=1)
        )
        stays = asyncio.ensure_future(batcher.map([Item(0, number) for number in range(3)]))
        leaves = asyncio.ensure_future(batcher.map([Item(1, number) for number in range(3)]))
        await asyncio.sleep(0.02)
        leaves.cancel()
        assert await stays == [(0, 0), (0, 1), (0, 2)]
        await batcher.close()

    asyncio.run(scenario())
    assert sum(item.caller == 1 for batch in model.batches for item in batch) <= 1
