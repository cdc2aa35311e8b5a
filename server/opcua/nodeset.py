"""The plant's namespace as a NodeSet2 XML file (OPC 10000-6 Annex F), straight from its nodes."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.server.address_space import NodeData

from server import VERSION
from server.opcua.attributes import NAMESPACE, node_id
from server.opcua.locales import Locale
from server.opcua.space import PlantAddressSpace

_UA = "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"
_TYPES = "http://opcfoundation.org/UA/2008/02/Types.xsd"
_IDS = ua.AttributeIds
_ELEMENTS = {
    ua.NodeClass.Object: "UAObject",
    ua.NodeClass.Variable: "UAVariable",
    ua.NodeClass.Method: "UAMethod",
    ua.NodeClass.ObjectType: "UAObjectType",
    ua.NodeClass.DataType: "UADataType",
}
_LOCALIZED = ("DisplayName", "Description", "InverseName")
_REQUIRED = "2022-11-01T00:00:00Z"
_LONG_AGO = "1970-01-01T00:00:00Z"
_XML_NAMESPACE = 1
"""The plant's namespace in the file: the only one besides OPC UA's own."""


def write_nodeset(space: PlantAddressSpace, path: Path) -> int:
    """Write every node of the plant to `path`; returns how many. Raises OSError.

    Names and descriptions are in all languages. Values of variables are left out, those of properties are written:
    they are part of the model, and have one language only.
    """
    ET.register_namespace("", _UA)
    ET.register_namespace("uax", _TYPES)
    root = ET.Element(f"{{{_UA}}}UANodeSet", LastModified=_time(datetime.now(UTC)))
    _child(_child(root, "NamespaceUris"), "Uri", space.plant.namespace)
    model = _child(_child(root, "Models"), "Model")
    model.attrib |= {"ModelUri": space.plant.namespace, "Version": VERSION, "PublicationDate": _time(datetime.now(UTC))}
    required = _child(model, "RequiredModel")
    required.attrib |= {"ModelUri": "http://opcfoundation.org/UA/", "Version": "1.05.02", "PublicationDate": _REQUIRED}
    count = 0
    for identifier in space.factory.identifiers():
        _node(root, space[node_id(identifier)], space.locales.others)
        count += 1
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    return count


def read_nodeset(path: Path, plant: str) -> str:
    """Return a user's NodeSet2 file in the form that asyncua loads; raises OSError, and ValueError for another file.

    A file that requires the model of the namespace `plant` has it: that requirement is left out.

    asyncua cannot do without the PublicationDate and Version of a RequiredModel, which are optional, and takes the
    last of several DisplayNames where the first is that of the file's own language.
    """
    try:
        root = ET.fromstring(path.read_bytes())  # noqa: S314  the administrator's own file
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    if root.tag != f"{{{_UA}}}UANodeSet":
        raise ValueError(f"its root is {root.tag.rpartition('}')[2]}, not UANodeSet")
    for model in root.iter(f"{{{_UA}}}Model"):
        for required in model.findall(f"{{{_UA}}}RequiredModel"):
            if required.get("ModelUri") == plant:
                model.remove(required)
            required.attrib.setdefault("PublicationDate", _LONG_AGO)
            required.attrib.setdefault("Version", "0")
    for element in root.iter():
        for tag in (f"{{{_UA}}}{name}" for name in _LOCALIZED):
            for other in element.findall(tag)[1:]:
                element.remove(other)
    return ET.tostring(root, encoding="unicode")


def _node(root: ET.Element, data: NodeData, locales: Sequence[Locale]) -> None:
    node_class = ua.NodeClass(_value(data, _IDS.NodeClass))
    element = _child(root, _ELEMENTS[node_class])
    element.set("NodeId", _id(data.nodeid))
    name: Any = _value(data, _IDS.BrowseName)
    element.set("BrowseName", name.Name if name.NamespaceIndex == 0 else f"{_XML_NAMESPACE}:{name.Name}")
    parent = next((ref for ref in data.references if not ref.IsForward), None)
    if parent is not None and node_class in (ua.NodeClass.Object, ua.NodeClass.Variable, ua.NodeClass.Method):
        element.set("ParentNodeId", _id(parent.NodeId))
    if node_class is ua.NodeClass.Variable:
        element.set("DataType", _id(_value(data, _IDS.DataType)))
        element.set("ValueRank", str(_value(data, _IDS.ValueRank)))
        if _IDS.ArrayDimensions in data.attributes:
            element.set("ArrayDimensions", ",".join(map(str, _value(data, _IDS.ArrayDimensions))))
        element.set("AccessLevel", str(_value(data, _IDS.AccessLevel)))
    if node_class is ua.NodeClass.Object and _value(data, _IDS.EventNotifier):
        element.set("EventNotifier", str(_value(data, _IDS.EventNotifier)))
    shown, described = _value(data, _IDS.DisplayName), _value(data, _IDS.Description)
    own = name.NamespaceIndex == NAMESPACE  # names that OPC UA gives stay
    _say(element, "DisplayName", shown, [locale.name(shown) for locale in locales if own])
    _say(element, "Description", described, [locale.text(described) for locale in locales])
    references = _child(element, "References")
    for reference in data.references:
        _reference(references, reference)
    if node_class is ua.NodeClass.DataType:
        _definition(element, _value(data, _IDS.DataTypeDefinition), name.Name, locales)
    if node_class is ua.NodeClass.Variable and data.attributes[_IDS.Value].value_callback is None:
        _variant(element, data)


def _reference(references: ET.Element, reference: ua.ReferenceDescription) -> None:
    element = _child(references, "Reference", _id(reference.NodeId))
    element.set("ReferenceType", _id(reference.ReferenceTypeId))
    if not reference.IsForward:
        element.set("IsForward", "false")


def _say(element: ET.Element, tag: str, words: ua.LocalizedText, others: Iterable[ua.LocalizedText]) -> None:
    """Write a text in its own language and in those that have a translation.

    Its own is the first, and the last again: of several, some stacks load the first, asyncua and node-opcua the last.
    """
    translated = [other for other in others if other is not words]
    for said in (words, *translated, words) if translated else (words,):
        if said.Text:
            _child(element, tag, said.Text).set("Locale", said.Locale or "")


def _definition(element: ET.Element, definition: ua.EnumDefinition, name: str, locales: Sequence[Locale]) -> None:
    root = _child(element, "Definition")
    root.set("Name", f"{_XML_NAMESPACE}:{name}")
    for field in definition.Fields:
        child = _child(root, "Field")
        child.attrib |= {"Name": field.Name or "", "Value": str(field.Value)}
        _say(child, "DisplayName", field.DisplayName, [locale.name(field.DisplayName) for locale in locales])


def _variant(element: ET.Element, data: NodeData) -> None:
    value = data.attributes[_IDS.Value].value
    variant = None if value is None else value.Value
    if variant is None or variant.Value is None:
        return
    root = _child(element, "Value")
    if variant.is_array:
        first: Any = variant.Value[0]
        kind = "ListOfExtensionObject" if isinstance(first, ua.Argument) else "ListOfLocalizedText"
        root = _typed(root, kind)
        for item in variant.Value:
            _scalar(root, item, variant.VariantType)
    else:
        _scalar(root, variant.Value, variant.VariantType)


def _scalar(root: ET.Element, value: Any, kind: Any) -> None:
    writer = _node_id if isinstance(value, ua.NodeId) else _WRITERS.get(type(value))
    if writer is not None:
        writer(root, value)
    else:
        _typed(root, ua.VariantType(kind).name, str(value))


def _localized(root: ET.Element, value: ua.LocalizedText, tag: str = "LocalizedText") -> None:
    element = _typed(root, tag)
    _typed(element, "Locale", value.Locale or "")
    _typed(element, "Text", value.Text or "")


def _extension(root: ET.Element, type_id: int, name: str) -> ET.Element:
    element = _typed(root, "ExtensionObject")
    _typed(_typed(element, "TypeId"), "Identifier", f"i={type_id}")
    return _typed(_typed(element, "Body"), name)


def _range(root: ET.Element, value: ua.Range) -> None:
    body = _extension(root, ua.ObjectIds.Range_Encoding_DefaultXml, "Range")
    _typed(body, "Low", repr(float(value.Low)))
    _typed(body, "High", repr(float(value.High)))


def _unit(root: ET.Element, value: ua.EUInformation) -> None:
    body = _extension(root, ua.ObjectIds.EUInformation_Encoding_DefaultXml, "EUInformation")
    _typed(body, "NamespaceUri", value.NamespaceUri or "")
    _typed(body, "UnitId", str(value.UnitId))
    _localized(body, value.DisplayName, "DisplayName")
    _localized(body, value.Description, "Description")


def _node_id(root: ET.Element, value: ua.NodeId) -> None:
    _typed(_typed(root, "NodeId"), "Identifier", _id(value))


def _boolean(root: ET.Element, value: bool) -> None:
    _typed(root, "Boolean", str(value).lower())


def _argument(root: ET.Element, value: ua.Argument) -> None:
    body = _extension(root, ua.ObjectIds.Argument_Encoding_DefaultXml, "Argument")
    _typed(body, "Name", value.Name or "")
    _typed(_typed(body, "DataType"), "Identifier", _id(value.DataType))
    _typed(body, "ValueRank", str(value.ValueRank))
    _typed(body, "ArrayDimensions")
    _localized(body, value.Description, "Description")


_WRITERS: dict[type, Callable[[ET.Element, Any], None]] = {
    ua.LocalizedText: _localized,
    ua.Range: _range,
    ua.EUInformation: _unit,
    ua.Argument: _argument,
    bool: _boolean,
}


def _value(data: NodeData, attribute: ua.AttributeIds) -> Any:
    found = data.attributes[attribute].value
    return None if found is None or found.Value is None else found.Value.Value


def _id(nodeid: ua.NodeId) -> str:
    if nodeid.NamespaceIndex == NAMESPACE:
        return f"ns={_XML_NAMESPACE};s={nodeid.Identifier}"
    return f"i={nodeid.Identifier}"


def _child(parent: ET.Element, tag: str, text: str | None = None) -> ET.Element:
    element = ET.SubElement(parent, f"{{{_UA}}}{tag}")
    element.text = text
    return element


def _typed(parent: ET.Element, tag: str, text: str | None = None) -> ET.Element:
    element = ET.SubElement(parent, f"{{{_TYPES}}}{tag}")
    element.text = text
    return element


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
