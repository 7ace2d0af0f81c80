"""The settings of the selection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le

from orchestrator.domain.alteration import UseOfVersions
from orchestrator.domain.bounds import Count, Share, Similarity
from orchestrator.domain.content import ContentTreatment
from orchestrator.domain.goal import Goal
from orchestrator.domain.scoring import PersonPenalties, QualityWeights


@dataclass(frozen=True, slots=True)
class FilterParameters:
    """Floors below which a photo is not selected if another photo in its moment clears them.

    If all photos in a moment are below them, the best one is selected, and its reason says so.
    """

    min_iqa_score: Share
    """technical quality, 0 to 1, below which a photo is not selected (`LOW_IQA`)"""
    min_sharpness: Share
    """sharpness of the sharpest region (`Focus` in the CSV), 0 to 1, below which a photo is not
    selected (`BLURRED`); the whole picture's `Sharpness` would also reject a sharp subject in front
    of a soft background"""


@dataclass(frozen=True, slots=True)
class SiameseParameters:
    """Settings for the pairwise comparison."""

    enabled: bool
    """whether the comparator decides ties; if it does, a run fails immediately when no Siamese
    model is available"""
    checkpoint_path: Path | None
    """a file in the models folder, absolute or relative to it, that the Siamese service must have
    loaded (checked by digest), or `null` to accept any model"""
    duplicate_threshold: Similarity
    """cosine similarity at or above which two photos are duplicates and never both selected"""
    tiebreaker_range: Share
    """scores at most this far below the best composite score count as a tie, unless faces are
    clearly worse"""


@dataclass(frozen=True, slots=True)
class SelectionParameters:
    """Rules for the selection."""

    goal: Goal
    max_images_per_cluster: Count
    """maximum number of photos selected from a moment, if the goal is `moments` or `everybody`"""
    min_score_threshold: Annotated[float, Ge(-1), Le(1)]
    """minimum composite score for a second or later pick from a moment"""
    dissimilarity_threshold: Similarity
    """cosine similarity to a selected photo at or above which another photo is too similar"""
    stability_margin: Share
    """how much better, by composite score, a photo must be to replace a pick from an earlier run of
    the album (`reference_run_id`); moments without new photos keep their picks. 0 = every run
    starts afresh"""
    include_noise: bool
    """whether single shots can be selected"""
    use_owner_ratings: bool
    """whether ratings and flags from other programs, in the photo or its sidecar, count like your
    decisions unless you decide otherwise: -1 stars or flagged as rejected = never selected, 4 or 5
    stars or flagged as picked = always selected"""
    versions: UseOfVersions
    """how to treat mirrored, turned, cropped, framed, black-and-white and filtered versions of a
    photo in its moment: `edits` picks those whose names mark them as edited copies
    (`IMG_1-edited.jpg`) along with the original, if that is picked; `all` picks every version along
    with it; `original` picks only the original; `compete` ranks them like other photos"""
    quality_weights: QualityWeights
    person_penalties: PersonPenalties
    content: ContentTreatment
    siamese: SiameseParameters
