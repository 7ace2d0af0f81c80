"""The page's albums."""

from __future__ import annotations

import pytest
from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.views.albums import dropdown_names

pytestmark = pytest.mark.slow


def test_albums_with_the_same_name_are_distinguished() -> None:
    albums = [
        pb.Album(id="1", display_name="Trip", folder="/photos/may/trip"),
        pb.Album(id="2", display_name="Party", folder="/photos/party"),
        pb.Album(id="3", display_name="Trip", folder="/photos/june/trip"),
    ]
    (third, last), (second, party), (first, trip) = dropdown_names(albums)
    assert [last, party, trip] == ["3", "2", "1"]
    assert second == "Party"
    assert third.startswith("Trip (/photos/june/trip, created ")
    assert first.startswith("Trip (/photos/may/trip, created ")
