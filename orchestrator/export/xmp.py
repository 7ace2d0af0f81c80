"""XMP sidecars (ISO 16684-1): rating, label and keywords in the form that photo managers read.

Existing content is kept: properties and keywords written by other programs, and a rating or label
set by somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from orchestrator.domain.owner_marks import RATING_REJECTED
from orchestrator.domain.photo import REJECTED
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
"""Stars."""
LABEL_SELECTED, LABEL_REJECTED = "Green", "Red"
"""Names from Lightroom's default set of colour labels; digiKam accepts them too."""
KEYWORD_PREFIX = "bestshot:"
"""Keywords with this prefix are ours and may be replaced."""
_UNSET = ("", "0")
"""Values that programs write when there is no rating or label."""


def sidecar(record: ImageRecord, existing: bytes | None = None, *, is_copy: bool = False) -> bytes:
    """Writes the rating, label, keywords, composite score and reason of a scored photo.

    Args:
        record: The photo.
        existing: Sidecar to merge them into. A rating or label in it that bestshot did not write is
            kept, and bestshot's is in `bestshot:Rating` or `bestshot:Label` alone if it differs.
            If both are equal in a sidecar, bestshot wrote both, and `read_sidecar` does not
            attribute them to the owner.
        is_copy: Whether the result goes elsewhere and `existing` stays as it is. Stars and a label
            that the user gave in bestshot then replace those in `existing`.

    The user's stars and label count before a rating or label that the owner set in the photo itself
    or in another sidecar, and these before what the selection says.

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
    _set_keywords(rdf, _keywords(record))
    if not existing:
        etree.indent(tree)
    return bytes(etree.tostring(tree, encoding="UTF-8", xml_declaration=True))


def find_overruled(record: ImageRecord, existing: bytes) -> list[str]:
    """Names values that an existing sidecar keeps although they differ from the user's in bestshot.

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
    """Returns the value of each property from user, owner and selection; empty if there is none."""
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


def _set_keywords(rdf: etree._Element, keywords: list[str]) -> None:
    """Replaces our keywords among those in dc:subject."""
    subject = next(rdf.iter(qualify("dc:subject")), None)
    bag = subject.find(qualify("rdf:Bag")) if subject is not None else None
    items = list(bag) if bag is not None else []
    ours = [item for item in items if (item.text or "").startswith(KEYWORD_PREFIX)]
    if [item.text for item in ours] == keywords:
        return
    for item in ours:
        item.getparent().remove(item)
    if not keywords:
        return
    if subject is None:
        subject = etree.SubElement(_description(rdf), qualify("dc:subject"), nsmap=_nsmap("dc"))
    if bag is None:
        bag = etree.SubElement(subject, qualify("rdf:Bag"))
    for keyword in keywords:
        etree.SubElement(bag, qualify("rdf:li")).text = keyword


def _description(rdf: etree._Element) -> etree._Element:
    """Returns the first description, creating one if there is none."""
    for description in iterate_descriptions(rdf):
        return description
    return etree.SubElement(rdf, qualify("rdf:Description"), {qualify("rdf:about"): ""})


def _nsmap(prefix: str) -> Mapping[str, str]:
    return {prefix: NAMESPACES[prefix]}
