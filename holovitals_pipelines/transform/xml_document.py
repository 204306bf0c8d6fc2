"""An XML document as a document that paths can read.

Law: every element, attribute and text is in it, and repeated elements keep their order among themselves.

`<person id="7"><name>Lee</name><name>Li</name></person>` is `{"person": {"_id": "7", "name": ["Lee", "Li"]}}`:
attributes have an underscore before their names, an element of text alone is the text, text beside attributes or
elements is `_text`, and an empty element is `{}`. Namespaces are left out of names and kept as `_xmlns` where an
element's differs from its parent's.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.cda.xml_tree import read_xml


def read_xml_document(body: bytes) -> Document:
    """Raises MalformedResource for what is not well-formed, has a DOCTYPE or is too deep."""
    root = read_xml(body)
    return {_name(root.tag)[1]: _value(root, "")}


def _value(element: Element, around: str) -> Any:
    namespace, _ = _name(element.tag)
    found: dict[str, Any] = {"_xmlns": namespace} if namespace != around else {}
    for name, text in element.attrib.items():
        space, plain = _name(name)
        found[f"_{plain}" if not space or f"_{plain}" not in found else f"_{name}"] = text
    for child in element:
        name = _name(child.tag)[1]
        value = _value(child, namespace)
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    text = "".join([element.text or "", *(child.tail or "" for child in element)]).strip()
    if text and not found:
        return text
    if text:
        found["_text"] = text
    return found


def _name(tag: str) -> tuple[str, str]:
    """(namespace, name without it)"""
    namespace, brace, name = tag.rpartition("}")
    return (namespace[1:], name) if brace else ("", tag)
