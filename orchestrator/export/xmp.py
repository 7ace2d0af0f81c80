"""XMP sidecars (ISO 16684-1): rating, label, keywords, persons and faces, for photo managers.

Existing content is kept: properties, keywords and face regions written by other programs, and a
rating or label set by somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from lxml import etree

from orchestrator.domain.owner_marks import RATING_REJECTED
from orchestrator.domain.photo import REJECTED
from orchestrator.export.face_regions import FaceRegions
from orchestrator.export.xmp_regions import merge_regions, read_regions
from orchestrator.metadata.xmp_packet import (
    NAMESPACES,
    find_rdf,
    get_property,
    iterate_descriptions,
    parse_xmp,
    qualify,
)
from orchestrator.records import ImageRecord

RATING_BEST, RATING_FURTHER, RATING_LEFT = 5, 4, 1
"""Numbers of stars."""
LABEL_SELECTED, LABEL_REJECTED = "Green", "Red"
"""Names from Lightroom's default set of colour labels; digiKam accepts them too."""
KEYWORD_PREFIX = "bestshot:"
"""Keywords with this prefix are ours and may be replaced."""
PERSONS_KEY = "Iptc4xmpExt:PersonInImage"
"""IPTC's property for the names of the people shown."""
LAST_PERSONS_KEY = "bestshot:PersonInImage"
"""The names that we wrote last, one per line; we may replace them."""
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain, but file names, and reasons that quote them, can."""
LAST_REGIONS_KEY = "bestshot:Regions"
"""The face regions that we wrote last, one per line; we may replace them."""
_UNSET = ("", "0")
"""Values that programs write when there is no rating or label."""


def sidecar(
    record: ImageRecord,
    existing: bytes | None = None,
    regions: FaceRegions | None = None,
    *,
    is_copy: bool = False,
) -> bytes:
    """Writes the rating, label, keywords, persons, faces, score and reason of a scored photo.

    Args:
        record: The photo.
        existing: Sidecar to merge these into. A rating or label in it that bestshot did not write
            is kept; if bestshot's own value differs, it is written only to `bestshot:Rating` or
            `bestshot:Label`. If the two are equal in a sidecar, bestshot wrote both, and
            `read_sidecar` does not attribute them to the owner.
        regions: The named faces; None leaves the face regions in `existing` unchanged.
        is_copy: Whether the result is written elsewhere and `existing` stays as it is. Stars and a
            label that the user set in bestshot then replace those in `existing`.

    The user's stars and label take precedence over a rating or label that the owner set in the
    photo itself or in another sidecar, and these take precedence over the selection's.

    Raises:
        InvalidArgumentError: `existing` is not XMP.
    """
    tree = parse_xmp(existing) if existing else _empty()
    rdf = find_rdf(tree)
    for key, (users, owners, own) in _values(record).items():
        last = f"bestshot:{key.partition(':')[2]}"
        present = get_property(rdf, key)
        is_ours = present in (*_UNSET, get_property(rdf, last))
        if is_ours or (is_copy and users):
            _set(rdf, key, users or owners or own)
            _set(rdf, last, users or owners or own)
        else:
            kept_apart = users or own
            _set(rdf, last, "" if kept_apart == present else kept_apart)
    _set(rdf, "bestshot:CompositeScore", repr(record.composite_score))
    _set(rdf, "bestshot:Reason", record.reason)
    _set_in_bag(rdf, "dc:subject", _keywords(record), lambda text: text.startswith(KEYWORD_PREFIX))
    _set_persons(rdf, record.person_names)
    if regions is not None:
        written = get_property(rdf, LAST_REGIONS_KEY).splitlines()
        _set(
            rdf,
            LAST_REGIONS_KEY,
            "\n".join(merge_regions(rdf, _description(rdf), regions, written)),
        )
    if not existing:
        etree.indent(tree)
    return bytes(etree.tostring(tree, encoding="UTF-8", xml_declaration=True))


def regions_in(content: bytes) -> FaceRegions:
    """Returns the face regions that we wrote into a sidecar."""
    rdf = find_rdf(parse_xmp(content))
    return read_regions(rdf, get_property(rdf, LAST_REGIONS_KEY).splitlines())


def find_overruled(record: ImageRecord, existing: bytes) -> list[str]:
    """Lists values that an existing sidecar keeps although the user set different ones in bestshot.

    Raises:
        InvalidArgumentError: `existing` is not XMP.
    """
    rdf = find_rdf(parse_xmp(existing))
    found = []
    for key, (users, _, _) in _values(record).items():
        name = key.partition(":")[2]
        present = get_property(rdf, key)
        if users and present not in (*_UNSET, users, get_property(rdf, f"bestshot:{name}")):
            found.append(f"{name.lower()} {present} (in bestshot: {users})")
    return found


def _values(record: ImageRecord) -> dict[str, tuple[str, str, str]]:
    """Returns each property's values from user, owner and selection; "" if there is none."""
    owner, user = record.owner_mark, record.user_mark
    return {
        "xmp:Rating": (
            str(user.stars) if user.stars else "",
            "" if owner.rating is None else str(owner.rating),
            str(_rating(record)),
        ),
        "xmp:Label": (user.label.title(), owner.label, _label(record)),
    }


def _rating(record: ImageRecord) -> int:
    if record.reason_code in REJECTED:
        return RATING_REJECTED
    if not record.is_selected:
        return RATING_LEFT
    return RATING_FURTHER if record.reason_code == "SELECTED_DISTINCT" else RATING_BEST


def _label(record: ImageRecord) -> str:
    if record.reason_code in REJECTED:
        return LABEL_REJECTED
    return LABEL_SELECTED if record.is_selected else ""


def _keywords(record: ImageRecord) -> list[str]:
    found = []
    if record.is_selected:
        found.append(f"{KEYWORD_PREFIX}selected")
    if record.reason_code in REJECTED:
        found.append(f"{KEYWORD_PREFIX}rejected")
    if record.cluster_id is not None and record.cluster_id >= 0:
        found.append(f"{KEYWORD_PREFIX}moment-{record.cluster_id + 1}")
    return found


def _empty() -> etree._ElementTree:
    root = etree.Element(qualify("x:xmpmeta"), nsmap=_nsmap("x"))
    rdf = etree.SubElement(root, qualify("rdf:RDF"), nsmap=_nsmap("rdf"))
    _description(rdf)
    return root.getroottree()


def _set(rdf: etree._Element, key: str, value: str) -> None:
    """Sets a simple property in place, or adds it to a description; an empty value removes it."""
    value = _for_xml(value)
    is_set = False
    for description in iterate_descriptions(rdf):
        child = description.find(qualify(key))
        if qualify(key) in description.attrib:
            if value and not is_set:
                description.set(qualify(key), value)
            else:
                del description.attrib[qualify(key)]
            is_set = True
        elif child is not None:
            if value and not is_set:
                child.text = value
            else:
                description.remove(child)
            is_set = True
    if value and not is_set:
        prefix = key.partition(":")[0]
        element = etree.SubElement(_description(rdf), qualify(key), nsmap=_nsmap(prefix))
        element.text = value


def _for_xml(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)


def _set_persons(rdf: etree._Element, names: Sequence[str]) -> None:
    """Replaces the names that we wrote last; those from other programs are kept."""
    bag = _find_bag(rdf, PERSONS_KEY)
    present = [item.text or "" for item in bag] if bag is not None else []
    last = set(get_property(rdf, LAST_PERSONS_KEY).splitlines())
    added = [name for name in names if name in last or name not in present]
    _set_in_bag(rdf, PERSONS_KEY, added, lambda name: name in last)
    _set(rdf, LAST_PERSONS_KEY, "\n".join(added))


def _set_in_bag(
    rdf: etree._Element, key: str, values: Sequence[str], is_ours: Callable[[str], bool]
) -> None:
    """Replaces our values in a property that may have several."""
    bag = _find_bag(rdf, key)
    items = list(bag) if bag is not None else []
    ours = [item for item in items if is_ours(item.text or "")]
    if [item.text for item in ours] == list(values):
        return
    for item in ours:
        item.getparent().remove(item)
    if not values:
        return
    if bag is None:
        found = next(rdf.iter(qualify(key)), None)
        if found is None:
            prefix = key.partition(":")[0]
            found = etree.SubElement(_description(rdf), qualify(key), nsmap=_nsmap(prefix))
        bag = etree.SubElement(found, qualify("rdf:Bag"))
    for value in values:
        etree.SubElement(bag, qualify("rdf:li")).text = _for_xml(value)


def _find_bag(rdf: etree._Element, key: str) -> etree._Element | None:
    found = next(rdf.iter(qualify(key)), None)
    return found.find(qualify("rdf:Bag")) if found is not None else None


def _description(rdf: etree._Element) -> etree._Element:
    """Returns the first description, creating one if there is none."""
    for description in iterate_descriptions(rdf):
        return description
    return etree.SubElement(rdf, qualify("rdf:Description"), {qualify("rdf:about"): ""})


def _nsmap(prefix: str) -> Mapping[str, str]:
    return {prefix: NAMESPACES[prefix]}
