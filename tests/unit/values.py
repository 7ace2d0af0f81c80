"""Plain values with sensible fields, for tests that need only some of them."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

from PIL import Image

from orchestrator.domain.content import ContentTreatment
from orchestrator.domain.decisions import DecidedPhoto, DecisionAction, DecisionEntry
from orchestrator.domain.goal import BEST_OF_MOMENTS
from orchestrator.domain.photo import Candidate, FaceScores, QualityScores
from orchestrator.domain.scoring import PersonPenalties, QualityWeights
from orchestrator.domain.selection.parameters import (
    FilterParameters,
    SelectionParameters,
    SiameseParameters,
)

PENALTIES = PersonPenalties(
    eyes_closed=-0.15,
    face_turned=-0.10,
    not_smiling=-0.05,
    max_penalty=-0.7,
    eyes_threshold=0.5,
    pose_threshold=0.5,
    smile_threshold=0.5,
    prominent_face_ratio=0.3,
)
FILTERS = FilterParameters(min_iqa_score=0.3, min_sharpness=0.2)
TO_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""Transformation from the upright picture to the stored one, by EXIF orientation."""


def quality(**changes: Any) -> QualityScores:
    plain = QualityScores(
        iqa_score=0.7,
        ava_score=6.0,
        ava_distribution=(),
        sharpness=0.6,
        focus_score=0.8,
        exposure=0.8,
        contrast=0.5,
        colourfulness=0.4,
        laplacian_variance=600.0,
    )
    return replace(plain, **changes)


def face(**changes: Any) -> FaceScores:
    plain = FaceScores(
        left=0.1,
        top=0.1,
        width=0.2,
        height=0.2,
        confidence=0.9,
        landmarks=(),
        yaw_degrees=0.0,
        pitch_degrees=None,
        roll_degrees=0.0,
        pose_score=1.0,
        eyes_score=1.0,
        smile_score=1.0,
    )
    return replace(plain, **changes)


def candidate(path: str, cluster_id: int = 0, **scores: Any) -> Candidate:
    """Returns a photo whose content digest is its path."""
    return Candidate(path, path, quality(**scores), faces=(), cluster_id=cluster_id)


def rules(**changes: Any) -> SelectionParameters:
    plain = SelectionParameters(
        goal=BEST_OF_MOMENTS,
        max_images_per_cluster=2,
        min_score_threshold=0.4,
        dissimilarity_threshold=0.85,
        stability_margin=0.02,
        include_noise=True,
        use_owner_ratings=True,
        versions="original",
        quality_weights=QualityWeights(iqa=0.3, ava=0.7),
        person_penalties=PENALTIES,
        content=ContentTreatment(
            document="photo",
            screenshot="photo",
            animation="photo",
            blank="exclude",
            misfire="exclude",
        ),
        siamese=SiameseParameters(
            enabled=True, checkpoint_path=None, duplicate_threshold=0.95, tiebreaker_range=0.05
        ),
    )
    return replace(plain, **changes)


def entry(
    entry_id: str,
    action: DecisionAction,
    *digests: str,
    target: str = "",
    undone_id: str = "",
    stars: int = 0,
    label: str = "",
) -> DecisionEntry:
    return DecisionEntry(
        id=entry_id,
        action=action,
        photos=tuple(DecidedPhoto(digest, f"{digest}.jpg") for digest in digests),
        create_time=datetime.datetime(2026, 5, 17, 10, 0, tzinfo=datetime.UTC),
        target=DecidedPhoto(target, f"{target}.jpg") if target else None,
        undone_id=undone_id,
        stars=stars,
        label=label,
    )
