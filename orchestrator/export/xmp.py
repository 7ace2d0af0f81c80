"""XMP sidecars (ISO 16684-1): rating, label and keywords in the form that photo managers read.

Existing content is kept: properties and keywords written by other programs, and a rating or label
set by somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lxml import etree

from orchestrator.records import ImageRecord
from services.common.errors import InvalidArgumentError

_NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "bestshot": "https://bestshot.invalid/xmp/1.0/",
}
RATING_BEST, RATING_FURTHER, RATING_LEFT, RATING_REJECTED = 5, 4, 1, -1
"""Stars; -1 is XMP's own value for a rejected photo."""
LABEL_SELECTED, LABEL_REJECTED = "Green", "Red"
"""Names from Lightroom's default set of colour labels; digiKam accepts them too."""
KEYWORD_PREFIX = "bestshot:"
"""Keywords with this prefix are ours and may be replaced."""
_UNSET = ("", "0")
"""Values that programs write when there is no rating or label."""


def sidecar(record: ImageRecord, existing: bytes | None = None) -> bytes:
    """Writes the rating, label, keywords, composite score and reason of a scored photo.

    Args:
        record: The photo.
        existing: Sidecar to merge them into. A rating or label in it that bestshot did not write is
            kept; `bestshot:Rating` and `bestshot:Label` always hold bestshot's own values.

    Raises:
        InvalidArgumentError: `existing` is not XMP.
    """
    tree = _parse(existing) if existing else _empty()
    rdf = next(tree.iter(_name("rdf:RDF")), None)
    if rdf is None:
        raise InvalidArgumentError("", "it is not XMP: rdf:RDF is missing")
    for key, value in (("xmp:Rating", str(_rating(record))), ("xmp:Label", _label(record))):
        last = f"bestshot:{key.partition(':')[2]}"
        if _get(rdf, key) in (*_UNSET, _get(rdf, last)):
            _set(rdf, key, value)
        _set(rdf, last, value)
    _set(rdf, "bestshot:CompositeScore", repr(record.composite_score))
    _set(rdf, "bestshot:Reason", record.reason)
    _set_keywords(rdf, _keywords(record))
    if not existing:
        etree.indent(tree)
    return bytes(etree.tostring(tree, encoding="UTF-8", xml_declaration=True))


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


def _keywords(record: ImageRecord) -> list[str]:
    found = []
    if record.is_selected:
        found.append(f"{KEYWORD_PREFIX}selected")
    if record.reason_code == "USER_REJECT":
        found.append(f"{KEYWORD_PREFIX}rejected")
    if record.cluster_id is not None and record.cluster_id >= 0:
        found.append(f"{KEYWORD_PREFIX}moment-{record.cluster_id + 1}")
    return found


def _empty() -> etree._ElementTree:
    root = etree.Element(_name("x:xmpmeta"), nsmap=_nsmap("x"))
    rdf = etree.SubElement(root, _name("rdf:RDF"), nsmap=_nsmap("rdf"))
    _description(rdf)
    return root.getroottree()


def _parse(content: bytes) -> etree._ElementTree:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        tree = etree.fromstring(content, parser).getroottree()
    except etree.XMLSyntaxError as error:
        raise InvalidArgumentError("", f"it is not XML: {error}") from error
    if tree.docinfo.doctype:
        raise InvalidArgumentError("", "it has a document type declaration, which XMP forbids")
    return tree


def _get(rdf: etree._Element, key: str) -> str:
    """Reads a simple property, an attribute or element of any description; empty if missing."""
    for description in _descriptions(rdf):
        if (value := description.get(_name(key))) is not None:
            return str(value)
        if (child := description.find(_name(key))) is not None:
            return (child.text or "").strip()
    return ""


def _set(rdf: etree._Element, key: str, value: str) -> None:
    """Sets a simple property in place, or adds it to a description; an empty value removes it."""
    is_set = False
    for description in _descriptions(rdf):
        child = description.find(_name(key))
        if _name(key) in description.attrib:
            if value and not is_set:
                description.set(_name(key), value)
            else:
                del description.attrib[_name(key)]
            is_set = True
        elif child is not None:
            if value and not is_set:
                child.text = value
            else:
                description.remove(child)
            is_set = True
    if value and not is_set:
        prefix = key.partition(":")[0]
        element = etree.SubElement(_description(rdf), _name(key), nsmap=_nsmap(prefix))
        element.text = value


def _set_keywords(rdf: etree._Element, keywords: list[str]) -> None:
    """Replaces our keywords among those in dc:subject."""
    subject = next(rdf.iter(_name("dc:subject")), None)
    bag = subject.find(_name("rdf:Bag")) if subject is not None else None
    items = list(bag) if bag is not None else []
    ours = [item for item in items if (item.text or "").startswith(KEYWORD_PREFIX)]
    if [item.text for item in ours] == keywords:
        return
    for item in ours:
        item.getparent().remove(item)
    if not keywords:
        return
    if subject is None:
        subject = etree.SubElement(_description(rdf), _name("dc:subject"), nsmap=_nsmap("dc"))
    if bag is None:
        bag = etree.SubElement(subject, _name("rdf:Bag"))
    for keyword in keywords:
        etree.SubElement(bag, _name("rdf:li")).text = keyword


def _description(rdf: etree._Element) -> etree._Element:
    """Returns the first description, creating one if there is none."""
    for description in _descriptions(rdf):
        return description
    return etree.SubElement(rdf, _name("rdf:Description"), {_name("rdf:about"): ""})


def _descriptions(rdf: etree._Element) -> Iterator[etree._Element]:
    yield from rdf.iterchildren(_name("rdf:Description"))


def _nsmap(prefix: str) -> Mapping[str, str]:
    return {prefix: _NAMESPACES[prefix]}


def _name(key: str) -> str:
    prefix, _, local = key.partition(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"
