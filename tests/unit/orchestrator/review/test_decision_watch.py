from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Engine

from orchestrator.domain.decisions import DecisionAction
from orchestrator.records import Album, ImageRecord, Run, RunState, utc_now
from orchestrator.review import decision_watch
from orchestrator.review.decision_watch import DecisionWatch
from orchestrator.storage.decision_log import SqlDecisionLog
from orchestrator.storage.run_store import SqlRunStore
from tests.unit.values import entry, quality


def test_photos_are_reported_again_once_a_slow_entry_is_applied(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, log = SqlRunStore(engine), SqlDecisionLog(engine)
    store.add_album(Album("a", "a", "/a", utc_now()))
    made = Run("r", "a", RunState.COMPLETED, "builtin", {}, {}, {}, utc_now())
    store.save_results(made, [ImageRecord("1.jpg", "1", 1, quality=quality())])
    monkeypatch.setattr(decision_watch, "POLL_S", 0.01)

    async def follow() -> None:
        watch = DecisionWatch(store, log)
        additions = watch.watch("a", None, "r")
        assert (await anext(additions)).entry_count == 0
        log.append("a", [entry("x", DecisionAction.REJECT, "1")])
        polled = await anext(additions)
        assert [one.id for one in polled.entries] == ["x"]
        await watch.publish()
        told = await anext(additions)
        assert (list(told.entries), told.entry_count) == ([], 1)
        assert [record.path for record in told.records] == ["1.jpg"]

    asyncio.run(follow())
