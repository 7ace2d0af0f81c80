"""Prometheus metrics of the orchestrator, in addition to the metrics of its calls."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)


class RunMetrics:
    """The counters of runs and of the feature cache.

    Args:
        registry: Registry that the counters are added to.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "bestshot_runs", "Runs that have ended, by state.", ("state",), registry=registry
        )
        self._run_stage_seconds = Histogram(
            "bestshot_run_stage_seconds",
            "Time that a stage of a run took.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._cache_lookups = Counter(
            "bestshot_cache_lookups",
            "Features looked up in the cache, by role and outcome (hit or miss).",
            ("role", "outcome"),
            registry=registry,
        )

    def run_ended(self, state: str, stage_seconds: dict[str, float]) -> None:
        """Counts a run, and records how long its stages took."""
        self._runs.labels(state.lower()).inc()
        for stage, seconds in stage_seconds.items():
            self._run_stage_seconds.labels(stage).observe(seconds)

    def cache_lookup(self, role: str, *, is_hit: bool) -> None:
        """Counts a feature that was looked up."""
        self._cache_lookups.labels(role, "hit" if is_hit else "miss").inc()
