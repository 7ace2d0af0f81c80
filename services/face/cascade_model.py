"""Finds faces with OpenCV's cascades, and scores pose, eyes and smile.

All scores are calibrated heuristics on the cascades' level weights, not trained classifiers. The
constants were fitted on 17 portraits labelled for smiles and 15 labelled for pose and eyes; they
classify those correctly, and we claim no accuracy beyond that. Faces tilted by more than about 20
degrees, or narrower than about 4 percent of the picture (profiles: 8 percent), are not found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.common.imaging.decode import RgbImage
from services.face.cascades import Cascade, Detection
from services.face.model import FULL_TURN_DEGREES, NEUTRAL_SCORE, Face, largest_first
from services.face.preprocess import (
    FACE_SIDE_PX,
    Box,
    Gray,
    crop_face,
    logistic,
    to_detection_gray,
    to_gray,
)

FACE_SCALE_STEP, FACE_NEIGHBOURS, MIN_FACE_PX = 1.1, 4, 24
MIN_PROFILE_PX = 48
"""The profile search runs twice, for left and right, and small sizes take most of its time."""
EYE_SCALE_STEP, EYE_NEIGHBOURS, MIN_EYE_PX = 1.05, 3, 36
SMILE_SCALE_STEP, SMILE_NEIGHBOURS, MIN_SMILE_PX = 1.1, 15, 50

FRONTAL_WEIGHT, FRONTAL_SCALE = 54.5, 0.7
"""The confidence is a logistic of the frontal cascade's weight (alt2 gives 54 to 58)."""
PROFILE_WEIGHT = 1.5
"""The confidence is a logistic, of scale 1, of the profile cascade's weight."""
SURE_FRONTAL_WEIGHT = 56.0
"""Frontal hits with a lower weight count only if both eyes are found."""
SURE_PROFILE_WEIGHT = 2.15
"""Profile hits with a lower weight and no frontal hit at the same position were mostly clothes."""
PROFILE_YAW_DEGREES = 75.0
"""Assumed yaw of a face that only the profile cascade finds."""
ONE_EYE_YAW_DEGREES, TURNED_ONE_EYE_YAW_DEGREES = 45.0, 60.0
"""Assumed yaw of a frontal hit where at most one eye was found, without and with a profile hit."""
FRONTAL_EYE_DISTANCE = 0.375
"""Eye distance over face width at 0 degrees; it shrinks with the cosine of the yaw."""
EYES_OPEN_WEIGHT, EYES_OPEN_SCALE = 2.13, 0.12
"""Logistic of the more certain eye's mean weight in both cascades: closed 2.0, open 2.2 to 4.6."""
SMILE_WEIGHT, SMILE_SCALE = 3.1, 0.35
"""Logistic of the smile cascade's weight: clear smiles 2.7 to 4.7, no smile 0.9 to 2.8."""

EYE_BAND = (20, 160)
MOUTH_BAND = (140, FACE_SIDE_PX)


@dataclass(frozen=True)
class Eye:
    """An eye in the 256 x 256 face crop.

    Attributes:
        x: Centre, pixels.
        y: Centre, pixels.
        weight: Mean level weight of the two eye cascades, with 0.0 for a cascade that missed it.
    """

    x: float
    y: float
    weight: float


class CascadeFaceModel:
    """Finds and describes faces.

    Args:
        paths: Cascade files, under the names frontal, profile, eye, eyeglasses, smile.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._frontal = Cascade(paths["frontal"])
        self._profile = Cascade(paths["profile"])
        self._eye_cascades = (Cascade(paths["eye"]), Cascade(paths["eyeglasses"]))
        self._smile = Cascade(paths["smile"])

    def analyze(self, pictures: Sequence[RgbImage]) -> list[list[Face]]:
        """Finds the faces of canonical images; see FaceModel."""
        return [self._analyze(pixels) for pixels in pictures]

    def _analyze(self, pixels: RgbImage) -> list[Face]:
        small = to_detection_gray(pixels)
        gray = to_gray(pixels)
        factor = pixels.shape[1] / small.shape[1]
        profiles = self._find_profiles(small)
        faces: list[Face] = []
        for hit in _find(self._frontal, small, MIN_FACE_PX):
            box = hit.box.scale(factor)
            turned = _signed_profile_weight(hit.box, profiles)
            face = self._frontal_face(gray, box, hit.weight, turned)
            if face is not None and not _overlaps_any(box, faces):
                faces.append(face)
        for hit, sign in profiles:
            box = hit.box.scale(factor)
            if hit.weight >= SURE_PROFILE_WEIGHT and not _overlaps_any(box, faces):
                faces.append(self._profile_face(box, hit.weight, sign))
        return largest_first(faces, pixels)

    def _find_profiles(self, gray: Gray) -> list[tuple[Detection, int]]:
        """Finds profiles facing left (-1) and, in the mirrored picture, facing right (+1)."""
        width = gray.shape[1]
        left = [(hit, -1) for hit in _find(self._profile, gray, MIN_PROFILE_PX)]
        mirrored = _find(self._profile, np.ascontiguousarray(gray[:, ::-1]), MIN_PROFILE_PX)
        right = [
            (
                Detection(
                    Box(
                        width - hit.box.left - hit.box.width,
                        hit.box.top,
                        hit.box.width,
                        hit.box.height,
                    ),
                    hit.weight,
                ),
                +1,
            )
            for hit in mirrored
        ]
        return sorted([*left, *right], key=lambda pair: (-pair[0].weight, pair[1]))

    def _frontal_face(self, gray: Gray, box: Box, weight: float, turned: float) -> Face | None:
        crop = crop_face(gray, box)
        eyes = self._find_eyes(crop)
        if weight < SURE_FRONTAL_WEIGHT and len(eyes) < 2:
            return None
        yaw = _yaw_degrees(eyes, turned)
        return Face(
            box=box,
            confidence=logistic((weight - FRONTAL_WEIGHT) / FRONTAL_SCALE),
            landmarks=_eye_landmarks(box, eyes),
            yaw_degrees=yaw,
            pitch_degrees=None,
            roll_degrees=_roll_degrees(eyes),
            pose_score=1.0 - abs(yaw) / FULL_TURN_DEGREES,
            eyes_score=_eyes_score(eyes),
            smile_score=self._smile_score(crop),
        )

    def _profile_face(self, box: Box, weight: float, sign: int) -> Face:
        return Face(
            box=box,
            confidence=logistic(weight - PROFILE_WEIGHT),
            landmarks={},
            yaw_degrees=sign * PROFILE_YAW_DEGREES,
            pitch_degrees=None,
            roll_degrees=0.0,
            pose_score=1.0 - PROFILE_YAW_DEGREES / FULL_TURN_DEGREES,
            eyes_score=NEUTRAL_SCORE,
            smile_score=NEUTRAL_SCORE,
        )

    def _find_eyes(self, crop: Gray) -> list[Eye]:
        """Finds the most certain eye in each half of the face, if any, left first."""
        top, bottom = EYE_BAND
        band = crop[top:bottom]
        hits = [
            cascade.find(
                band,
                scale_step=EYE_SCALE_STEP,
                neighbours=EYE_NEIGHBOURS,
                min_side_px=MIN_EYE_PX,
            )
            for cascade in self._eye_cascades
        ]
        eyes = []
        for low, high in ((0, FACE_SIDE_PX / 2), (FACE_SIDE_PX / 2, FACE_SIDE_PX)):
            best = [
                next((hit for hit in found if low <= hit.box.centre[0] < high), None)
                for found in hits
            ]
            seen = [hit for hit in best if hit is not None]
            if seen:
                x, y = np.mean([hit.box.centre for hit in seen], axis=0)
                total = sum(hit.weight for hit in seen)
                eyes.append(Eye(float(x), float(y) + top, total / len(self._eye_cascades)))
        return eyes

    def _smile_score(self, crop: Gray) -> float:
        top, bottom = MOUTH_BAND
        hits = self._smile.find(
            crop[top:bottom],
            scale_step=SMILE_SCALE_STEP,
            neighbours=SMILE_NEIGHBOURS,
            min_side_px=MIN_SMILE_PX,
        )
        return logistic((hits[0].weight - SMILE_WEIGHT) / SMILE_SCALE) if hits else 0.0


def _find(cascade: Cascade, gray: Gray, min_side_px: int) -> list[Detection]:
    return cascade.find(
        gray,
        scale_step=FACE_SCALE_STEP,
        neighbours=FACE_NEIGHBOURS,
        min_side_px=min_side_px,
    )


def _eye_landmarks(box: Box, eyes: Sequence[Eye]) -> dict[str, tuple[float, float]]:
    """Returns both eyes in pixels of the picture; empty unless both were found."""
    if len(eyes) < 2:
        return {}
    return {
        name: (
            box.left + eye.x / FACE_SIDE_PX * box.width,
            box.top + eye.y / FACE_SIDE_PX * box.height,
        )
        for name, eye in zip(("left_eye", "right_eye"), eyes, strict=True)
    }


def _signed_profile_weight(box: Box, profiles: Sequence[tuple[Detection, int]]) -> float:
    """Finds the surest profile hit on the same face; its weight is negative if facing left."""
    for hit, sign in profiles:
        if hit.box.holds(box.centre):
            return sign * hit.weight
    return 0.0


def _yaw_degrees(eyes: Sequence[Eye], turned: float) -> float:
    """Estimates yaw from the foreshortened eye distance; the profile cascade gives the sign."""
    sign = -1.0 if turned < 0 else 1.0
    if len(eyes) < 2:
        return sign * (TURNED_ONE_EYE_YAW_DEGREES if turned else ONE_EYE_YAW_DEGREES)
    distance = (eyes[1].x - eyes[0].x) / FACE_SIDE_PX
    yaw = math.degrees(math.acos(min(1.0, distance / FRONTAL_EYE_DISTANCE)))
    return sign * yaw if yaw else 0.0


def _roll_degrees(eyes: Sequence[Eye]) -> float:
    if len(eyes) < 2:
        return 0.0
    return math.degrees(math.atan2(eyes[1].y - eyes[0].y, eyes[1].x - eyes[0].x))


def _eyes_score(eyes: Sequence[Eye]) -> float:
    """Scores the more certain eye's openness, so that a hidden eye does not count as closed."""
    if not eyes:
        return 0.0
    surest = max(eye.weight for eye in eyes)
    return logistic((surest - EYES_OPEN_WEIGHT) / EYES_OPEN_SCALE)


def _overlaps_any(box: Box, faces: Sequence[Face]) -> bool:
    return any(face.box.holds(box.centre) or box.holds(face.box.centre) for face in faces)
