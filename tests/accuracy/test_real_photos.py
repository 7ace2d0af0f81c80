"""Accuracy on real photos with ground truth; `make accuracy` prints the figures."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from tests.accuracy.conftest import PROFILES, Curate, Figures, pull_real_models
from tests.conftest import ROOT
from tests.integration.command import Curated, curate


def labels_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as opened:
        return {row["file"]: row for row in csv.DictReader(opened)}


def adjusted_rand_index(found: Curated) -> float:
    """Compares Cluster with groups.csv; unlisted photos and noise count as single photos."""
    truth = labels_of(found.photos / "groups.csv")
    names = sorted(found.rows)
    wanted = [truth[name]["group"] if name in truth else f"single {name}" for name in names]
    clusters = [found.rows[name]["Cluster"] for name in names]
    got = [f"noise {n}" if c in ("", "-1") else c for n, c in zip(names, clusters, strict=True)]
    return float(adjusted_rand_score(wanted, got))


def test_a_run_groups_photos_as_people_do(curated_folder: Curate) -> None:
    assert adjusted_rand_index(curated_folder("trip")) >= 0.80


def test_the_sharp_photo_of_the_blur_triplet_is_selected(curated_folder: Curate) -> None:
    rows = curated_folder("trip").rows
    assert rows["176_HONOR-7X_S.jpg"]["Status"] == "selected"
    assert rows["176_HONOR-7X_F.jpg"]["Reason_Code"] == "BLURRED"
    assert rows["176_HONOR-7X_M.jpg"]["Reason_Code"] == "BLURRED"


def test_the_burst_is_one_moment_with_a_selected_photo(curated_folder: Curate) -> None:
    rows = curated_folder("trip").rows
    burst = [row for name, row in rows.items() if name.startswith("burst_")]
    assert len(burst) == 8
    assert len({row["Cluster"] for row in burst}) == 1
    assert sum(row["Cluster"] == burst[0]["Cluster"] for row in rows.values()) == 8
    assert 1 <= sum(row["Status"] == "selected" for row in burst) <= 2


def test_an_album_of_one_scene_has_one_moment(
    real_photos: Callable[[str], Path], running: Callable[[str], str], tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(1, 9):
        name = f"burst_{index}.jpg"
        (folder / name).symlink_to(real_photos("trip").resolve() / name)
    flags = ("--orchestrator", running("builtin"))
    rows = curate(folder, tmp_path / "out", tmp_path / "data", *flags).rows
    assert {row["Cluster"] for row in rows.values()} == {"0"}


def test_an_album_of_unrelated_photos_has_no_moment(
    real_photos: Callable[[str], Path], running: Callable[[str], str], tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    album = real_photos("album").resolve()
    grouped = labels_of(album / "groups.csv")
    for path in album.glob("*.jpg"):
        if path.name not in grouped:
            (folder / path.name).symlink_to(path)
    flags = ("--orchestrator", running("builtin"))
    rows = curate(folder, tmp_path / "out", tmp_path / "data", *flags).rows
    assert len(rows) == 14
    assert {row["Cluster"] for row in rows.values()} == {"-1"}


@pytest.mark.parametrize("profile", PROFILES)
def test_only_prominent_faces_are_found(
    curated_folder: Curate, figures: Figures, profile: str
) -> None:
    found = curated_folder("faces", profile)
    labels = labels_of(found.photos / "labels.csv")
    counts = {name: int(row["Faces"]) for name, row in found.rows.items()}
    all_prominent, false_faces = 0, 0
    for name, count in counts.items():
        prominent = int(labels[name]["prominent_faces"]) if name in labels else 1
        assert count >= prominent, name
        all_prominent += prominent
        false_faces += count - prominent
    figures.setdefault(f"prominent faces of {len(counts)} portraits, false detections", {})[
        profile
    ] = f"{all_prominent} of {all_prominent}, {false_faces}"
    assert false_faces <= (0 if profile == "standard" else 2)


@pytest.mark.parametrize("profile", PROFILES)
def test_faces_in_group_photos_are_found(
    curated_folder: Curate, figures: Figures, profile: str
) -> None:
    found = curated_folder("portraits", profile)
    visible, seen, false_faces = 0, 0, 0
    for name, row in labels_of(found.photos / "faces.csv").items():
        if name.startswith("group"):
            count = int(found.rows[name]["Faces"])
            visible += int(row["faces"])
            seen += min(count, int(row["faces"]))
            false_faces += max(0, count - int(row["faces"]))
    figures.setdefault("faces of the groups, false detections", {})[profile] = (
        f"{seen} of {visible}, {false_faces}"
    )
    wanted = {"builtin": 0.9, "standard": 1.0, "lite": 1.0}[profile]
    assert seen >= wanted * visible
    assert false_faces <= (0 if profile == "standard" else 2)


@pytest.mark.parametrize(
    ("profile", "wanted"), [("builtin", 0.90), ("standard", 0.95), ("lite", 0.95)]
)
def test_the_smile_score_separates_smiling_people(
    curated_folder: Curate, figures: Figures, profile: str, wanted: float
) -> None:
    found = curated_folder("faces", profile)
    labels = labels_of(found.photos / "labels.csv")
    smiling = [row["smiling"] == "yes" for row in labels.values()]
    score = roc_auc_score(smiling, [float(found.rows[name]["Smile"]) for name in labels])
    figures.setdefault(f"smile, area under the ROC curve, {len(labels)} portraits", {})[profile] = (
        f"{score:.3f}"
    )
    assert score >= wanted


@pytest.mark.parametrize("profile", PROFILES)
def test_portraits_get_the_right_pose_and_eyes(
    curated_folder: Curate, figures: Figures, profile: str
) -> None:
    rows = curated_folder("portraits", profile).rows
    for index in range(1, 9):
        assert int(rows[f"stock-emotions-a-{index}.jpg"]["Faces"]) >= 1
    pose = {name: float(row["Pose"]) for name, row in rows.items() if row["Pose"]}
    # the face's own score, because `Eyes` does not count a lowered head's eyes as closed
    eyes = {
        name: float(json.loads(row["Face_Eyes_Scores"])[0])
        for name, row in rows.items()
        if row["Face_Eyes_Scores"]
    }
    frontal = [f"stock-emotions-a-{index}.jpg" for index in (1, 3, 4, 5, 6, 7, 8)]
    lowest_frontal = min(pose[name] for name in frontal)
    profiles = ("pose_left_face.jpeg", "pose_right_face.png")
    for name in (*profiles, "stock-emotions-a-2.jpg"):
        assert pose[name] < lowest_frontal
    left, right = (float(json.loads(rows[name]["Face_Yaws"])[0]) for name in profiles)
    assert left < -45
    assert right > 45
    closed = eyes["reaction_close_eyes.jpeg"]
    lowest_open = min(eyes[name] for name in (*frontal, "reaction_open_eyes.png"))
    figures.setdefault("yaw of a left and a right profile, degrees", {})[profile] = (
        f"{left:.0f}, {right:.0f}"
    )
    figures.setdefault("eyes score: closed, lowest of the open ones", {})[profile] = (
        f"{closed:.2f}, {lowest_open:.2f}"
    )
    assert closed < 0.5 < lowest_open


def test_parts_of_the_face_model_can_be_replaced(
    real_photos: Callable[[str], Path], tmp_path: Path
) -> None:
    configs, data = tmp_path / "configs", tmp_path / "data"
    shutil.copytree(ROOT / "configs", configs)
    text = (configs / "models.yaml").read_text()
    text = text.replace("head_pose: fsa-net", "head_pose: landmark-pose")
    text = text.replace("expression: mediapipe-blendshapes", "expression: mini-xception")
    (configs / "models.yaml").write_text(text)
    changes = {"BESTSHOT_CONFIG_DIR": str(configs), "BESTSHOT_MODELS_DIR": str(tmp_path / "models")}
    pull_real_models("lite", data, changes)
    profile = ("--profile", "lite")
    found = curate(real_photos("portraits"), tmp_path / "out", data, *profile, changes=changes)
    left, right = (
        float(json.loads(found.rows[name]["Face_Yaws"])[0])
        for name in ("pose_left_face.jpeg", "pose_right_face.png")
    )
    smiles = {name: float(row["Smile"]) for name, row in found.rows.items()}
    assert left < -45
    assert right > 45
    assert smiles["stock-emotions-a-7.jpg"] > 0.5 > smiles["stock-emotions-a-1.jpg"]


def test_portraits_with_soft_backgrounds_are_not_called_blurred(curated_folder: Curate) -> None:
    for name in ("faces", "portraits"):
        rows = curated_folder(name).rows
        blurred = [path for path, row in rows.items() if row["Reason_Code"] == "BLURRED"]
        assert len(blurred) <= 1, blurred


@pytest.mark.parametrize("profile", ["builtin", "standard"])
@pytest.mark.parametrize("picture", ["exif_landscape", "exif_portrait"])
def test_rotated_copies_get_equal_scores(
    curated_folder: Curate, picture: str, profile: str
) -> None:
    rows = curated_folder("odd", profile).rows
    copies = [rows[f"{picture}_{orientation}.jpg"] for orientation in (1, 3, 6, 8)]
    for column in ("IQA", "Sharpness", "Composite"):
        values = [float(row[column]) for row in copies]
        assert max(values) - min(values) <= 1e-2, column
    values = [(float(row["AVA"]) - 1) / 9 for row in copies]
    assert max(values) - min(values) <= 1e-2
    assert len({row["Faces"] for row in copies}) == 1
    for column in ("Pose", "Eyes", "Smile"):
        values = [float(row[column]) for row in copies if row[column]]
        assert len(values) in (0, 4), column
        assert not values or max(values) - min(values) <= 1e-2, column
    assert len({row["Cluster"] for row in copies}) == 1
    assert copies[0]["Cluster"] != "-1"
    assert sum(row["Cluster"] == copies[0]["Cluster"] for row in rows.values()) == 4


def test_broken_files_are_reported_and_all_other_files_are_scored(curated_folder: Curate) -> None:
    rows = curated_folder("odd").rows
    unreadable = {name for name, row in rows.items() if row["Status"] == "unreadable"}
    assert unreadable == {"corrupted.heic", "truncated.jpg", "ukbench09268_corrupt.jpg"}
    for name in unreadable:
        assert rows[name]["Error"]
    for name in ("corrupted.jpg", "truncated.heic"):
        assert rows[name]["Damage"]
        assert rows[name]["Damage"] in rows[name]["Reason"]
    damaged = {name for name, row in rows.items() if row["Damage"]}
    assert damaged == {"corrupted.jpg", "truncated.heic"}
    for row in rows.values():
        if row["Status"] != "unreadable":
            assert np.isfinite([float(row[column]) for column in ("AVA", "IQA", "Composite")]).all()
