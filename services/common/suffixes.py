"""The file name suffixes of photos and of the files that belong to them, in lower case."""

from __future__ import annotations

PICTURE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
        *(".jif", ".jfi", ".mpo", ".insp", ".apng", ".dib"),
        *(".heic", ".heif", ".hif", ".heics", ".heifs", ".avif", ".avifs"),
    }
)
RAW_SUFFIXES = frozenset(
    {
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25"),
        *(".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2"),
        *(".rwl", ".sr2", ".srf", ".srw", ".x3f", ".gpr", ".ori", ".eip"),
    }
)
OTHER_SUFFIXES = frozenset(
    {
        *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".psd", ".psb"),
        *(".jxl", ".jxr", ".wdp", ".hdp", ".bpg", ".xcf", ".exr", ".hdr", ".ico", ".svg"),
        *(".pbm", ".pgm", ".pnm", ".ppm", ".pam", ".qoi", ".tga"),
    }
)
"""Pictures that cameras do not write, so a RAW file of the same name is a separate photo. Some of
these formats cannot be decoded; such files still appear in the results."""
PHOTO_SUFFIXES = PICTURE_SUFFIXES | RAW_SUFFIXES | OTHER_SUFFIXES
"""Suffixes of candidate files; their magic bytes decide what they really are."""
FILM_SUFFIXES = frozenset({".mov", ".mp4", ".mp", ".aae"})
"""Videos of Live Photos and of Google's motion photos, and Apple's edits. They are named like the
photo, with a different suffix."""
XMP_SUFFIX = ".xmp"
SIDECAR_SUFFIXES = frozenset({XMP_SUFFIX, ".pp3", ".dop"})
"""Suffixes of XMP sidecars and of those that RawTherapee and DxO PhotoLab write. The suffix either
follows the photo's whole name or replaces the photo's own suffix."""
UPLOAD_SUFFIXES = PHOTO_SUFFIXES | SIDECAR_SUFFIXES | {".aae"}
"""Suffixes of the files that an upload may contain."""
