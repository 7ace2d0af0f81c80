"""`bestshot curate`, from a folder of photos to a folder of results, with five real processes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from pathlib import Path

import pytest
import yaml
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb
from prometheus_client import CollectorRegistry

from orchestrator.cli.parts import MODEL_SERVICES
from tests.conftest import draw_pairs
from tests.integration.access import copy_data
from tests.integration.command import Curated, Running, bestshot, curate
from tests.integration.parts import Part, orchestrator

BROKEN = {
    "empty.jpg": "empty (0 bytes)",
    "letter.jpg": "not an image of a known format",
    "torn.jpg": "damaged",
}
SCENES = ("china", "flower")


@pytest.fixture(scope="module")
def curated(curated: Curated, tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """A copy, because these tests add runs and albums, and others count those they find."""
    base = tmp_path_factory.mktemp("curate")
    copy_data(curated, base)
    return dataclasses.replace(curated, data=base / "data")


def scene(path: str) -> str:
    return next(name for name in SCENES if name in path)


def test_every_photo_has_a_row_and_a_reason(curated: Curated) -> None:
    assert len(curated.rows) == 15
    for row in curated.rows.values():
        assert row["Reason"]
        assert row["Reason_Code"]


def test_broken_files_become_unreadable_rows_and_the_run_continues(curated: Curated) -> None:
    for name, message in BROKEN.items():
        row = curated.rows[name]
        assert row["Status"] == "unreadable"
        assert row["Reason_Code"] == "UNREADABLE"
        assert message in row["Reason"]
        assert message in row["Error"]


def test_each_scene_is_one_moment_and_a_flawless_shot_is_its_best(curated: Curated) -> None:
    clusters: dict[str, set[str]] = {name: set() for name in SCENES}
    for path, row in curated.rows.items():
        if row["Status"] != "unreadable":
            clusters[scene(path)].add(row["Cluster"])
    assert all(len(labels) == 1 for labels in clusters.values())
    assert clusters["china"] != clusters["flower"]
    best = {scene(p) for p, row in curated.rows.items() if row["Reason_Code"] == "SELECTED_BEST"}
    assert best == set(SCENES)
    for path, row in curated.rows.items():
        if any(flaw in path for flaw in ("blurred", "dark", "=2+5")):
            assert row["Status"] == "not_selected"


def test_every_score_survives_to_csv_and_json(curated: Curated) -> None:
    columns = {
        "AVA": ("quality", "ava_score"),
        "IQA": ("quality", "iqa_score"),
        "Sharpness": ("quality", "sharpness"),
        "Focus": ("quality", "focus_score"),
        "Exposure": ("quality", "exposure"),
        "Contrast": ("quality", "contrast"),
        "Colourfulness": ("quality", "colourfulness"),
        "Laplacian_Variance": ("quality", "laplacian_variance"),
        "Noise": ("quality", "noise_level"),
        "Composite": ("composite_score",),
        "Cluster": ("cluster_id",),
        "Person_Penalty": ("person_penalty",),
    }
    for path, image in curated.images.items():
        row = next(r for r in curated.rows.values() if r["Path"].removeprefix("'") == path)
        if row["Status"] == "unreadable":
            continue
        for column, keys in columns.items():
            value = image
            for key in keys:
                value = value[key]
            assert float(row[column]) == value
        assert image["quality"]["ava_distribution"] == []  # the heuristic predicts no votes
        assert row["AVA_Distribution"] == ""
        assert int(row["Faces"]) == len(image["faces"])
        content = (curated.photos / path).read_bytes()
        assert row["Content_Digest"] == hashlib.sha256(content).hexdigest()


def test_run_json_records_settings_and_models(curated: Curated) -> None:
    run = curated.run
    assert run["state"] == "COMPLETED"
    assert set(run["models"]) == {"embedding", "quality", "face", "siamese"}
    for model in run["models"].values():
        assert model["origin"] == "builtin"
        assert len(model["digest"]) == 64
    resolved = run["config"]["resolved"]["cluster_scenes"]
    assert run["config"]["cluster_scenes"]["scene_distance"] == "auto"
    assert isinstance(resolved["scene_distance"], float)
    assert isinstance(resolved["cluster_selection_epsilon"], float)
    assert run["versions"]["hdbscan"]
    assert [stage["stage"] for stage in run["stages"]] == [
        *("discover", "score", "cluster", "compare", "select")
    ]


def test_the_gallery_shows_every_photo_and_contacts_no_other_host(curated: Curated) -> None:
    page = (curated.out / "index.html").read_text()
    for image in curated.images.values():
        assert image["path"] in page
        if image["quality"]:
            thumbnail = curated.out / "thumbnails" / f"{image['content_digest'][:32]}.jpg"
            assert thumbnail.read_bytes().startswith(b"\xff\xd8\xff")
    assert "http://" not in page
    assert "https://" not in page
    assert "heuristic" in page


def test_the_logs_report_that_the_siamese_model_was_loaded_and_used(curated: Curated) -> None:
    loaded = (curated.out / "logs" / "siamese.log").read_text()
    assert "Loading Siamese model from /" in loaded
    assert "siamese-describe.onnx" in loaded
    assert (
        "Siamese CNN enabled for comparison"
        in (curated.out / "logs" / "orchestrator.log").read_text()
    )


def test_the_summary_counts(curated: Curated) -> None:
    assert "15 photos (0 from the cache)" in curated.text
    assert "3 unreadable" in curated.text
    assert "2 with several shots" in curated.text
    assert "photos per second" in curated.text


def test_a_file_name_is_not_a_formula_in_the_csv(curated: Curated) -> None:
    (row,) = [row for path, row in curated.rows.items() if "2+5" in path]
    assert row["Image"] == "'=2+5 flower.jpg"
    assert row["Path"] == "more/=2+5 flower.jpg"


def test_a_second_run_is_byte_identical_and_computes_nothing(
    curated: Curated, tmp_path: Path
) -> None:
    again = curate(curated.photos, tmp_path / "out", curated.data)
    assert again.csv_bytes == curated.csv_bytes
    assert "(12 from the cache)" in again.text


def test_moved_and_differently_batched_photos_give_the_same_csv(
    curated: Curated, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    paths = sorted(curated.images, reverse=True)
    for path in paths:
        (moved / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(curated.photos / path, moved / path)
    changes = {
        "BESTSHOT_SERVICES__ORCHESTRATOR__BATCH_COUNT": "1",
        "BESTSHOT_SERVICES__ORCHESTRATOR__CONCURRENT_BATCHES": "5",
        "BESTSHOT_SERVICES__FACE__WORKER_THREADS": "1",
    }
    out = tmp_path / "out"
    finished = bestshot(["curate", moved, "--out", out], data=tmp_path / "data", changes=changes)
    assert finished.code == 0, finished.text
    assert (out / "image_metrics.csv").read_bytes() == curated.csv_bytes


def test_every_clustering_parameter_reaches_the_run_record(
    curated: Curated, tmp_path: Path
) -> None:
    values = {
        "method": "dbscan",
        "metric": "euclidean",
        "min_cluster_size": 4,
        "min_samples": 3,
        "cluster_selection_epsilon": 0.0321,
        "cluster_selection_method": "leaf",
        "scene_distance": 0.0123,
        "dbscan.eps": 0.0456,
        "dbscan.min_samples": 5,
    }
    flags = [
        part for key, value in values.items() for part in ("--set", f"cluster_scenes.{key}={value}")
    ]
    recorded = curate(curated.photos, tmp_path / "out", curated.data, *flags).run["config"]
    for key, value in values.items():
        for found in (recorded["cluster_scenes"], recorded["resolved"]["cluster_scenes"]):
            for part in key.split("."):
                found = found[part]
            assert found == value


def test_both_sections_of_a_config_file_and_exclusions_take_effect(
    curated: Curated, tmp_path: Path
) -> None:
    document = {
        "description": "One photo per moment, and machine-readable logs.",
        "pipeline": {"select_best": {"max_images_per_cluster": 1}},
        "services": {
            "shared": {"log_format": "json", "token_file": str(tmp_path / "token")},
            "face": {"worker_threads": 1},
        },
    }
    (tmp_path / "token").write_text("of another orchestrator\n")
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(document))
    (excluded := tmp_path / "photos").mkdir()
    for name in ("china-1-sharp.jpg", "letter.jpg", "empty.jpg"):
        shutil.copy(curated.photos / name, excluded / name)
    flags = ("--config", file, "--exclude", "letter.*", "--exclude", "empty.jpg")
    finished = bestshot(["curate", excluded, *flags], data=curated.data)  # without --out
    assert finished.code == 0, finished.text
    found = Curated(
        excluded, tmp_path / "photos-best", curated.data, finished.text
    )  # without --out
    assert found.run["config"]["select_best"]["max_images_per_cluster"] == 1
    assert found.run["config"]["find_photos"]["exclude"] == ["letter.*", "empty.jpg"]
    assert list(found.rows) == ["china-1-sharp.jpg"]
    assert "Left out: 2 excluded files." in found.text
    assert "shared.token_file is ignored" in found.text
    for part in (*MODEL_SERVICES, "orchestrator"):
        lines = (found.out / "logs" / f"{part}.log").read_text().splitlines()
        assert lines
        assert all(isinstance(json.loads(line), dict) for line in lines)


def test_the_reference_profile_clusters_like_hdbscan(curated: Curated, tmp_path: Path) -> None:
    import hdbscan
    import numpy as np
    from sklearn.metrics import adjusted_rand_score

    from orchestrator.features import unpack_embedding
    from orchestrator.metrics import RunMetrics
    from orchestrator.storage.database import open_database
    from orchestrator.storage.feature_cache import SqlFeatureCache

    found = curate(curated.photos, tmp_path / "out", curated.data, "--profile", "reference")
    images = [image for image in found.images.values() if image["quality"]]
    cache = SqlFeatureCache(open_database(found.data), RunMetrics(CollectorRegistry()))
    digest = found.run["models"]["embedding"]["digest"]
    keys = [(image["content_digest"], "embedding", digest) for image in images]
    stored = cache.get(keys)
    vectors = np.stack([unpack_embedding(stored[key]) for key in keys]).astype(np.float64)
    direct = hdbscan.HDBSCAN(
        min_cluster_size=2,
        min_samples=2,
        metric="cosine",
        algorithm="generic",
        cluster_selection_epsilon=0.0,
        cluster_selection_method="eom",
    ).fit(vectors)
    labels = [image["cluster_id"] for image in images]
    assert [label == -1 for label in labels] == [label == -1 for label in direct.labels_]
    assert adjusted_rand_score(direct.labels_, labels) == 1.0


def test_selected_photos_are_copied_and_only_our_copies_are_removed(
    curated: Curated, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = curate(curated.photos, out, curated.data, "--copy-selected")
    selected = {path for path, image in first.images.items() if image["is_selected"]}
    copied = {str(path.relative_to(out / "selected")) for path in (out / "selected").rglob("*.jpg")}
    assert copied == selected
    (out / "selected" / "mine.jpg").write_bytes(b"the user's own")
    fewer = ("--copy-selected", "--set", "select_best.max_images_per_cluster=1")
    curate(curated.photos, out, curated.data, *fewer)
    left = {path.name for path in (out / "selected").rglob("*.jpg")}
    assert "mine.jpg" in left
    assert len(left) == 3


def test_runs_and_show_print_stored_results(curated: Curated) -> None:
    listed = bestshot(["runs"], data=curated.data)
    assert listed.code == 0
    assert str(curated.photos) in listed.text
    head, *rows = listed.text.splitlines()
    (row,) = (row for row in rows if row.startswith(curated.run["id"][:12]))
    assert row[head.index("Profile") :].startswith("builtin ")
    shown = bestshot(["show", curated.run["id"][:12]], data=curated.data)
    assert shown.code == 0
    for path, image in curated.images.items():
        assert path in shown.text
        assert image["reason"] in shown.text


def test_demo_curates_and_prints_where_the_results_are(tmp_path: Path) -> None:
    finished = bestshot(["demo", "--out", tmp_path / "demo"], data=tmp_path / "data")
    assert finished.code == 0, finished.text
    assert "wrote 12 photos to" in finished.text
    page = tmp_path / "demo" / "results" / "index.html"
    assert page.as_uri() in finished.text
    assert page.exists()
    summary = json.loads((page.parent / "run.json").read_text())["summary"]
    assert summary["photo_count"] == 12
    assert summary["cluster_count"] == 2


def test_curate_survives_the_restart_of_its_orchestrator(
    services: dict[str, Part], tmp_path: Path
) -> None:
    count = 40
    photos, out = draw_pairs(tmp_path / "photos", count, 200, 150), tmp_path / "out"
    addresses = {name: part.address for name, part in services.items()}
    folder = tmp_path / "orchestrator"
    # small batches: most photos are not scored yet when the first one is done
    with orchestrator(folder, addresses, tmp_path, batch_count="2", concurrent_batches="1") as part:
        command = ["curate", photos, "--out", out, "--orchestrator", part.address]
        with Running(command, data=tmp_path / "data") as process:
            while not (runs := part.stub.ListRuns(pb.ListRunsRequest()).runs):
                assert process.poll() is None
                time.sleep(0.05)
            part.until(runs[0].id, "score", 1)
            part.kill()
            assert process.poll() is None
            part.start()
            text, _ = process.communicate()
    assert process.returncode == 0, text
    assert len(Curated(photos, out, tmp_path / "data", text).rows) == count
