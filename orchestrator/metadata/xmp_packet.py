"""Reads XMP properties (ISO 16684-1) in files and sidecars."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from lxml import etree

from services.common.errors import InvalidArgumentError

NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpDM": "http://ns.adobe.com/xmp/1.0/DynamicMedia/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "darktable": "http://darktable.sf.net/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "bestshot": "https://bestshot.invalid/xmp/1.0/",
}


_WIDE = (
    *(codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE),
    *("<?".encode(name) for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")),
)
"""How XML in UTF-16 and UTF-32 begins (XML 1.0, appendix F)."""


def parse_xmp(content: bytes, *, is_damaged: bool = False) -> etree._ElementTree:
    """Parses a packet or a sidecar.

    Args:
        content: The packet or sidecar.
        is_damaged: Whether to read as much as possible. The rest is lost, so the result must not be
            written back.

    Raises:
        InvalidArgumentError: The content is not XMP.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, recover=is_damaged
    )
    try:
        root = etree.fromstring(_strip(content), parser)
    except etree.XMLSyntaxError as error:
        raise InvalidArgumentError("", f"it is not XML: {error}") from error
    if root is None:
        raise InvalidArgumentError("", "it is not XML")
    tree = root.getroottree()
    if tree.docinfo.doctype:
        raise InvalidArgumentError("", "it has a document type declaration, which XMP forbids")
    return tree


def _strip(content: bytes) -> bytes:
    """Removes padding, except in wide encodings, where it could be half of a character."""
    return content if content.startswith(_WIDE) else content.strip(b"\0 \t\r\n")


def find_rdf(tree: etree._ElementTree) -> etree._Element:
    """Returns the element that holds the properties.

    Raises:
        InvalidArgumentError: There is no such element.
    """
    rdf = next(tree.iter(qualify("rdf:RDF")), None)
    if rdf is None:
        raise InvalidArgumentError("", "it is not XMP: rdf:RDF is missing")
    return rdf


def get_property(rdf: etree._Element, key: str) -> str:
    """Returns a simple property, an attribute or child of any description; "" if there is none."""
    for description in iterate_descriptions(rdf):
        if (value := description.get(qualify(key))) is not None:
            return str(value)
        if (child := description.find(qualify(key))) is not None:
            return (child.text or "").strip()
    return ""


def get_items(rdf: etree._Element, key: str) -> list[str]:
    """Returns the texts in a list; empty if there is none."""
    for description in iterate_descriptions(rdf):
        if (child := description.find(qualify(key))) is not None:
            return [(item.text or "").strip() for item in child.iter(qualify("rdf:li"))]
    return []


def iterate_descriptions(rdf: etree._Element) -> Iterator[etree._Element]:
    """Yields the elements that the properties belong to."""
    yield from rdf.iterchildren(qualify("rdf:Description"))


def qualify(key: str) -> str:
    """Expands a prefixed name, such as "xmp:Rating", to the form that lxml uses."""
    prefix, _, local = key.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"
