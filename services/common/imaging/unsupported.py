"""Recognizes picture formats that cannot be decoded, so that they are not reported as damaged."""

from __future__ import annotations

from services.common.errors import UnsupportedImageError

_MAGICS = (
    (b"\xff\x0a", "JPEG XL", ""),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", ""),
    (b"II\xbc", "JPEG XR", ""),
    (b"BPG\xfb", "BPG", ""),
    (b"8BPS\0\x02", "PSB", "large Photoshop documents (PSB)"),
    (b"8BPS", "PSD", "this kind of Photoshop document"),
    (b"gimp xcf ", "XCF", "GIMP documents (XCF)"),
    (b"v/1\x01", "OpenEXR", ""),
    (b"qoif", "QOI", ""),
    (b"\0\0\x01\0", "ICO", "icons (ICO)"),
    (b"#?RADIANCE", "Radiance HDR", ""),
    (b"#?RGBE", "Radiance HDR", ""),
    *((b"P%d" % kind, "Netpbm", "") for kind in range(1, 8)),
)
"""First bytes, name of the format, and its name in a sentence if that is different."""

_SVG_BYTES = 1000
"""The element may come after a declaration and comments."""


def find_unsupported(content: bytes) -> UnsupportedImageError | None:
    """Returns the error for a picture in a known but unsupported format; None for anything else."""
    for magic, name, description in _MAGICS:
        if content.startswith(magic):
            return UnsupportedImageError(name, description or name)
    if b"<svg" in content[:_SVG_BYTES]:
        return UnsupportedImageError("SVG", "SVG")
    return None
