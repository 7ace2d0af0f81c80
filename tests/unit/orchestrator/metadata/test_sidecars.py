"""The order of priority when sidecars disagree."""

from __future__ import annotations

from orchestrator.metadata.sidecars import order_sidecars


def test_the_sidecar_with_the_photos_full_name_takes_precedence() -> None:
    companions = ("a/p.dng", "a/p.DNG.XMP", "a/p.dng.xmp", "a/p.jpg.xmp", "a/p.mov", "a/p.xmp")
    expected = ["a/p.jpg.xmp", "a/p.xmp", "a/p.DNG.XMP", "a/p.dng.xmp"]
    assert order_sidecars("a/p.jpg", companions) == expected
    assert order_sidecars("a/p.jpg", companions[::-1]) == expected
    assert order_sidecars("a/p.jpg", ("a/p.mov",)) == []
