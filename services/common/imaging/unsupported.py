"""Recognizes picture formats that cannot be decoded, so that they are not reported as damaged."""

from __future__ import annotations

_MAGICS = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"II\xbc", "JPEG XR"),
    (b"BPG\xfb", "BPG"),
    (b"8BPS\0\x02", "large Photoshop documents (PSB)"),
    (b"8BPS", "this kind of Photoshop document"),
    (b"gimp xcf ", "GIMP documents (XCF)"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    *((b"P%d" % kind, "Netpbm") for kind in range(1, 8)),
)
PREFIX = "not supported: "
"""Start of the error for every picture in such a format."""


def name_unsupported(content: bytes) -> str:
    """The error for a picture in a known but unsupported format; empty for anything else."""
    name = next((name for magic, name in _MAGICS if content.startswith(magic)), "")
    return PREFIX + name if name else ""
