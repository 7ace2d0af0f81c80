"""The output of results: CSV, JSON, cache payloads, page tokens, names of thumbnails."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import features as codec
from orchestrator.domain.photo import Landmark
from orchestrator.domain.scoring import FaceFault
from orchestrator.export.gallery import moments, score_line
from orchestrator.export.metrics_csv import COLUMNS, metrics_csv
from orchestrator.export.results_json import results_json
from orchestrator.records import ImageRecord
from orchestrator.transport import page_token
from services.common.errors import InvalidArgumentError
from tests.unit.values import face, quality

number = st.floats(allow_nan=False, allow_infinity=False)


def record(path: str = "a/b.jpg", **changes: object) -> ImageRecord:
    values = {
        "content_digest": "0" * 64,
        "size_bytes": 10,
        "quality": quality(),
        "cluster_id": 0,
        "composite_score": 0.5,
        "reason_code": "SELECTED_BEST",
        **changes,
    }
    return ImageRecord(path=path, **values)  # type: ignore[arg-type]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_first_columns_are_the_documented_ones() -> None:
    assert COLUMNS[:14] == (
        *("Image", "Status", "AVA", "IQA", "Sharpness", "Faces", "Pose", "Eyes", "Smile"),
        *("Cluster", "Composite", "Reason", "Lost_To", "Path"),
    )
    assert COLUMNS[40:43] == ("Companions", "Noise", "Face_Faults")


@given(number, number, st.lists(st.floats(0, 1), max_size=4))
def test_numbers_read_back_as_the_same_float(
    ava: float, composite: float, eyes: list[float]
) -> None:
    faces = tuple(face(eyes_score=score) for score in eyes)
    text = metrics_csv(
        [record(quality=quality(ava_score=ava), composite_score=composite, faces=faces)]
    )
    (row,) = rows_of(text)
    assert float(row["AVA"]) == ava
    assert float(row["Composite"]) == composite
    assert json.loads(row["Face_Eyes_Scores"] or "[]") == eyes
    assert row["Faces"] == str(len(eyes))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_file_name_never_becomes_a_formula(name: str) -> None:
    (row,) = rows_of(metrics_csv([record(path=name)]))
    assert row["Path"][:1] not in ("=", "+", "-", "@", "\t", "\r")
    assert row["Path"].removeprefix("'") == name.removeprefix("'")


def test_an_unreadable_photo_has_a_row_with_its_reason_and_no_scores() -> None:
    broken = record(
        quality=None, cluster_id=None, composite_score=None, reason_code="UNREADABLE", error="empty"
    )
    (row,) = rows_of(metrics_csv([broken]))
    assert row["Status"] == "unreadable"
    assert row["Error"] == "empty"
    assert [row[column] for column in ("AVA", "IQA", "Faces", "Cluster", "Composite")] == [""] * 5


def test_results_json_has_every_field_of_the_api() -> None:
    from bestshot.orchestrator.v1 import orchestrator_pb2

    (image,) = json.loads(results_json([record(faces=(face(),))]))["images"]
    fields = set(orchestrator_pb2.ImageResult.DESCRIPTOR.fields_by_name)
    # the first is in reason_code (USER_KEEP, USER_REJECT), the second follows from faces and config
    assert set(image) == fields - {"decision", "face_signs"}


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=32))
def test_embeddings_survive_the_cache(values: list[float]) -> None:
    vector = np.array(values, np.float32)
    assert (codec.unpack_embedding(codec.pack_embedding(vector)) == vector).all()


@given(number, st.lists(number, max_size=10))
def test_scores_survive_the_cache(value: float, distribution: list[float]) -> None:
    scores = quality(iqa_score=value, ava_distribution=tuple(distribution))
    packed = codec.pack_json(codec.quality_to_json(scores))
    assert codec.quality_from_json(codec.unpack_json(packed)) == scores


@given(number, st.none() | number)
def test_faces_survive_the_cache(value: float, pitch: float | None) -> None:
    faces = (
        face(yaw_degrees=value, pitch_degrees=pitch, landmarks=(Landmark("nose", value, 0.5),)),
        face(),
    )
    packed = codec.pack_json(codec.faces_to_json(faces))
    assert codec.faces_from_json(codec.unpack_json(packed)) == faces


@given(st.integers(0, 10**9), st.text(), st.booleans())
def test_page_tokens_lead_back_to_their_offset(offset: int, query: str, flag: bool) -> None:
    assert page_token.decode(page_token.encode(offset, query, flag), query, flag) == offset
    with pytest.raises(InvalidArgumentError, match="page_token"):
        page_token.decode(page_token.encode(offset, query, flag), query, not flag)


@pytest.mark.parametrize("token", ["nonsense", "AAAA", "WzEsMl0=", "eyJhIjoxfQ=="])
def test_a_made_up_page_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgumentError, match="next_page_token"):
        page_token.decode(token, "images")


def test_page_sizes() -> None:
    assert page_token.page_size(0) == 50
    assert page_token.page_size(10**6) == 1000
    with pytest.raises(InvalidArgumentError, match="negative"):
        page_token.page_size(-1)


def test_captions() -> None:
    photo = record(
        quality=quality(iqa_score=0.724, ava_score=6.31, sharpness=0.55),
        composite_score=0.61,
        faces=(face(), face()),
        face_faults=(FaceFault.NOT_SMILING,),
    )
    assert score_line(photo) == "IQA: 0.72 | AVA: 6.3 | Sharp: 0.55 | Score: 0.61"
    assert photo.face_caption == "2 faces | eyes open | no smile"
    assert record().face_caption == ""


def test_moments_show_the_selected_photo_first() -> None:
    shown = moments([record("a"), record("b", is_selected=True), record("c", cluster_id=-1)])
    assert [[photo.path for photo in moment.photos] for moment in shown] == [["b", "a"]]
