"""XMP sidecars (ISO 16684-1): rating and label, as photo managers read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from orchestrator.results import ImageRecord

_NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "bestshot": "https://bestshot.invalid/xmp/1.0/",
}
RATING_BEST, RATING_FURTHER, RATING_LEFT, RATING_REJECTED = 5, 4, 1, -1
"""Stars; -1 is XMP's own value for a rejected photo."""
LABEL_SELECTED, LABEL_REJECTED = "Green", "Red"
"""Names of Lightroom's default set of colour labels; digiKam takes the same."""


def sidecar_paths(records: Sequence[ImageRecord]) -> dict[str, str]:
    """Path of each photo's sidecar: its suffix replaced, as Adobe's programs name it.

    Photos that differ in nothing but the suffix keep it before that of the sidecar.
    """
    stems = Counter(PurePosixPath(record.path).with_suffix("") for record in records)
    return {
        record.path: f"{stem}.xmp" if stems[stem] == 1 else f"{record.path}.xmp"
        for record in records
        for stem in [PurePosixPath(record.path).with_suffix("")]
    }


def sidecar(record: ImageRecord) -> bytes:
    """Writes rating, label, composite score and reason of a photo that was scored."""
    for prefix, uri in _NAMESPACES.items():
        ET.register_namespace(prefix, uri)
    root = ET.Element(_name("x:xmpmeta"))
    rdf = ET.SubElement(root, _name("rdf:RDF"))
    description = ET.SubElement(rdf, _name("rdf:Description"), {_name("rdf:about"): ""})
    properties = {"xmp:Rating": str(_rating(record)), "xmp:Label": _label(record)}
    properties["bestshot:CompositeScore"] = repr(record.composite_score)
    properties["bestshot:Reason"] = record.reason
    for key, value in properties.items():
        if value:
            ET.SubElement(description, _name(key)).text = value
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _rating(record: ImageRecord) -> int:
    if record.reason_code == "USER_REJECT":
        return RATING_REJECTED
    if not record.is_selected:
        return RATING_LEFT
    return RATING_FURTHER if record.reason_code == "SELECTED_DISTINCT" else RATING_BEST


def _label(record: ImageRecord) -> str:
    if record.reason_code == "USER_REJECT":
        return LABEL_REJECTED
    return LABEL_SELECTED if record.is_selected else ""


def _name(key: str) -> str:
    prefix, _, local = key.partition(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"
