"""Face regions in XMP, as the Metadata Working Group defines them."""

from __future__ import annotations

from collections.abc import Collection

from lxml import etree

from orchestrator.export.face_regions import FaceRegion, FaceRegions
from orchestrator.metadata.xmp_packet import NAMESPACES, qualify

_NSMAP = {prefix: NAMESPACES[prefix] for prefix in ("rdf", "mwg-rs", "stArea", "stDim")}
_MAX_SHAPE_DIFFERENCE = 0.02
"""Relative tolerance: programs may round the size, or leave out a RAW file's border."""


def merge_regions(
    rdf: etree._Element, description: etree._Element, wanted: FaceRegions, last: Collection[str]
) -> list[str]:
    """Replaces the regions that we wrote last, and keeps those of other programs.

    A face that another program has marked with the same name is not added again. No faces are added
    if the existing regions apply to a picture of another shape, such as a crop.

    Args:
        rdf: The element that holds the properties.
        description: The element that regions are added to if there are none yet.
        wanted: The regions that the sidecar should have.
        last: The lines that the last call returned.

    Returns:
        A line for each of our regions in the sidecar.
    """
    regions = next(rdf.iter(qualify("mwg-rs:Regions")), None)
    bag = _find_bag(regions)
    if regions is not None and bag is None:
        return []  # in a form that we do not know, so leave it alone
    items = list(bag) if bag is not None else []
    ours = [item for item in items if _line(_read(item)) in last]
    others = [_read(item) for item in items if item not in ours]
    added = [
        face
        for face in wanted.faces
        if _has_same_shape(regions, wanted) and not any(_is_same(face, other) for other in others)
    ]
    if [_read(item) for item in ours] != added:
        for item in ours:
            item.getparent().remove(item)
        if added and bag is None:
            bag = _create_bag(description, wanted)
        for face in added:
            _append(bag, face)
        if ours and regions is not None and not (others or added):
            regions.getparent().remove(regions)
    return [_line(face) for face in added]


def read_regions(rdf: etree._Element, last: Collection[str]) -> FaceRegions:
    """Returns the regions that we wrote; `last` are the lines that `merge_regions` returned."""
    regions = next(rdf.iter(qualify("mwg-rs:Regions")), None)
    bag = _find_bag(regions)
    faces = [_read(item) for item in bag] if bag is not None else []
    width, height = _applied_to(regions)
    return FaceRegions(width, height, tuple(face for face in faces if _line(face) in last))


def _find_bag(regions: etree._Element | None) -> etree._Element | None:
    if regions is None:
        return None
    found = next(regions.iter(qualify("mwg-rs:RegionList")), None)
    return found.find(qualify("rdf:Bag")) if found is not None else None


def _create_bag(description: etree._Element, wanted: FaceRegions) -> etree._Element:
    regions = etree.SubElement(description, qualify("mwg-rs:Regions"), nsmap=_NSMAP)
    regions.set(qualify("rdf:parseType"), "Resource")
    applied_to = etree.SubElement(regions, qualify("mwg-rs:AppliedToDimensions"))
    applied_to.set(qualify("stDim:w"), str(wanted.width_px))
    applied_to.set(qualify("stDim:h"), str(wanted.height_px))
    applied_to.set(qualify("stDim:unit"), "pixel")
    found = etree.SubElement(regions, qualify("mwg-rs:RegionList"))
    return etree.SubElement(found, qualify("rdf:Bag"))


def _append(bag: etree._Element, face: FaceRegion) -> None:
    item = etree.SubElement(bag, qualify("rdf:li"), nsmap=_NSMAP)
    region = etree.SubElement(item, qualify("rdf:Description"))
    region.set(qualify("mwg-rs:Name"), face.name)
    region.set(qualify("mwg-rs:Type"), "Face")
    area = etree.SubElement(region, qualify("mwg-rs:Area"))
    area.set(qualify("stArea:x"), face.x)
    area.set(qualify("stArea:y"), face.y)
    area.set(qualify("stArea:w"), face.width)
    area.set(qualify("stArea:h"), face.height)
    area.set(qualify("stArea:unit"), "normalized")


def _read(item: etree._Element) -> FaceRegion:
    area = [_field(item, f"stArea:{side}") for side in "xywh"]
    return FaceRegion(_field(item, "mwg-rs:Name"), *area)


def _field(element: etree._Element, key: str) -> str:
    """Returns a field of a structure, which programs write as attribute or element."""
    name = qualify(key)
    for one in element.iter(etree.Element):
        if one.get(name) is not None:
            return str(one.get(name))
        if one.tag == name:
            return (one.text or "").strip()
    return ""


def _line(face: FaceRegion) -> str:
    return f"{face.x} {face.y} {face.width} {face.height} {face.name}"


def _is_same(face: FaceRegion, other: FaceRegion) -> bool:
    """Whether two regions have the same name, and one contains the centre of the other."""
    if face.name != other.name:
        return False
    try:
        away_x = abs(float(face.x) - float(other.x))
        away_y = abs(float(face.y) - float(other.y))
        reach_x = max(float(face.width), float(other.width)) / 2
        reach_y = max(float(face.height), float(other.height)) / 2
    except ValueError:
        return False
    return away_x <= reach_x and away_y <= reach_y


def _has_same_shape(regions: etree._Element | None, wanted: FaceRegions) -> bool:
    width, height = _applied_to(regions)
    if not (width and height):
        return True
    difference = width * wanted.height_px - height * wanted.width_px
    return abs(difference) <= _MAX_SHAPE_DIFFERENCE * height * wanted.width_px


def _applied_to(regions: etree._Element | None) -> tuple[int, int]:
    """Returns the size of the picture that regions apply to; zeros if unknown."""
    if regions is None:
        return 0, 0
    try:
        width, height = (int(_field(regions, f"stDim:{side}")) for side in "wh")
    except ValueError:
        return 0, 0
    return width, height
