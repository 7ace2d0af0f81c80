"""Prints which choices in the shared cases are right with each profile.

`make accuracy` runs `python -m tests.accuracy.choices`. It is not a test, because curating the
cases with three profiles takes minutes, and because two of the cases are known to fail.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.accuracy.conftest import PROFILES, REAL_MODELS
from tests.conftest import REAL_PHOTOS
from tests.integration.command import bestshot, curate
from tests.integration.up import running_up

CASES = REAL_PHOTOS.parent / "cases"

Rows = dict[str, dict[str, str]]
"""The rows of a run's CSV, by path."""


def _picks(rows: Rows) -> set[str]:
    return {name for name, row in rows.items() if row["Status"] == "selected"}


def _keeps_the_original(rows: Rows) -> bool:
    copies = {"IMG-WA0001_whatsapp.jpg", "thumb640.jpg"}
    return "IMG_1234_original.jpg" in _picks(rows) and not copies & _picks(rows)


def _picks_every_page(rows: Rows) -> bool:
    return {f"page_{number}.png" for number in range(6)} <= _picks(rows)


def _keeps_the_clean_one(rows: Rows) -> bool:
    return {"a.jpg", "b.jpg"} & _picks(rows) == {"a.jpg"}


def _picks_one_version(rows: Rows) -> bool:
    return len({"a.jpg", "b.jpg"} & _picks(rows)) == 1


def _joins_the_bracket(rows: Rows) -> bool:
    moments = {rows[f"IMG_{number}.jpg"]["Cluster"] for number in range(100, 104)}
    return len(moments) == 1 and "-1" not in moments


def _leaves_out_lens_caps(rows: Rows) -> bool:
    first, other = (rows[name]["Cluster"] for name in ("dark0.jpg", "dark3.jpg"))
    are_apart = first != other or first == "-1"
    return are_apart and not {"black1.jpg", "black2.jpg"} & _picks(rows)


def _calls_nothing_blurred(rows: Rows) -> bool:
    return all(row["Reason_Code"] != "BLURRED" for row in rows.values())


def _blames_no_statue(rows: Rows) -> bool:
    return all(float(row["Person_Penalty"]) == 0.0 for row in rows.values())


def _ranks_the_large_bird_first(rows: Rows) -> bool:
    best = max(rows, key=lambda name: float(rows[name]["Composite"]))
    return best in ("DSC_0046.jpg", "DSC_0047.jpg") and _calls_nothing_blurred(rows)


def _is_complete(rows: Rows) -> bool:
    return len(rows) == 4


CHECKS: dict[str, Callable[[Rows], bool]] = {
    "06-smaller-copies": _keeps_the_original,
    "09-document-pages": _picks_every_page,
    "12-watermarked-copy": _keeps_the_clean_one,
    "14-black-and-white-version": _picks_one_version,
    "16-exposure-bracket": _joins_the_bracket,
    "17-lens-cap-frames": _leaves_out_lens_caps,
    "19-fog-and-high-key": _calls_nothing_blurred,
    "25-statues": _blames_no_statue,
    "26-bird-on-plain-sky": _ranks_the_large_bird_first,
    "28-flat-dark-frames": _is_complete,
}


def count_originals(rows: Rows) -> str:
    """Counts the small copies of `telescope` that lost to their original."""
    with (REAL_PHOTOS / "telescope" / "copies.csv").open(newline="") as opened:
        pairs = [row for row in csv.DictReader(opened) if row["kind"] == "small_copy"]
    picks = _picks(rows)
    won = [
        pair
        for pair in pairs
        if pair["file"] not in picks
        and float(rows[pair["original"]]["Composite"]) >= float(rows[pair["file"]]["Composite"])
    ]
    return f"{len(won)} of {len(pairs)}"


def list_penalties(rows: Rows) -> str:
    """Counts the photos with a face penalty, and finds the largest penalty."""
    costs = [-float(row["Person_Penalty"]) for row in rows.values() if row["Person_Penalty"]]
    return f"{sum(cost > 0.02 for cost in costs)} of {len(costs)}, {max(costs):.2f}"


def measure(profile: str, base: Path) -> Iterator[tuple[str, str]]:
    """Yields what was measured with a profile, and the value."""
    changes = {"BESTSHOT_MODELS_DIR": str(base / "models")}
    if profile != "builtin":
        pull: list[object] = ["models", "pull", "--profile", profile]
        if profile == "lite":
            pull += ["--from", REAL_MODELS]
        finished = bestshot(pull, data=base / "data", changes=changes)
        if finished.code != 0:
            return
    flags = ("--no-ui", "--profile", profile)
    with running_up(base, [REAL_PHOTOS.parent, base], *flags, changes=changes) as addresses:
        chosen = ("--profile", profile, "--orchestrator", addresses["orchestrator"])

        def rows_of(photos: Path) -> Rows:
            return curate(photos, base / f"out-{photos.parent.name}", base / "data", *chosen).rows

        for case, check in CHECKS.items():
            yield f"case {case}", "right" if check(rows_of(CASES / case / "in")) else "wrong"
        yield (
            "small copies that lost to the original",
            count_originals(rows_of(REAL_PHOTOS / "telescope")),
        )
        yield (
            "temple: photos with a penalty above 0.02, largest penalty",
            list_penalties(rows_of(REAL_PHOTOS / "temple")),
        )


def main() -> None:
    """Prints the table; nothing if the cases are not available."""
    if not CASES.is_dir():
        return
    found: dict[str, dict[str, str]] = {}
    for profile in PROFILES:
        with tempfile.TemporaryDirectory() as temporary:
            for what, value in measure(profile, Path(temporary)):
                found.setdefault(what, {})[profile] = value
    table = Table("", *PROFILES)
    for what, values in found.items():
        table.add_row(what, *(values.get(profile, "") for profile in PROFILES))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
