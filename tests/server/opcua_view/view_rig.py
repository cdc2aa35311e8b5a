"""The View services without a network: requests as asyncua encodes them, answers as asyncua decodes them."""

import asyncio
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.server.address_space import ViewService
from asyncua.ua.ua_binary import nodeid_to_binary, struct_from_binary, struct_to_binary

from server.assembly import running
from server.opcua.continuation import ContinuationPoints
from server.opcua.locales import Locale
from server.opcua.space import PlantAddressSpace
from server.opcua.view import Views
from server.opcua.wire import Request
from tests.server.opcua.opcua_rig import settings

ANY = 2**31 - 1
NULL = ua.NodeId()
HANDLE = 7

EXTRA = """<?xml version="1.0" encoding="utf-8"?>
<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd">
  <NamespaceUris><Uri>urn:extra</Uri><Uri>urn:plantree:plant</Uri></NamespaceUris>
  <Models><Model ModelUri="urn:extra"/></Models>
  <UAReferenceType NodeId="ns=1;i=1" BrowseName="1:Feeds">
    <DisplayName>Feeds</DisplayName>
    <References><Reference ReferenceType="i=45" IsForward="false">i=32</Reference></References>
    <InverseName>IsFedBy</InverseName>
  </UAReferenceType>
  <UAObject NodeId="ns=1;i=2" BrowseName="1:Tank" ParentNodeId="ns=2;s=Plant.Press1">
    <DisplayName>Tank</DisplayName>
    <References>
      <Reference ReferenceType="i=40">i=58</Reference>
      <Reference ReferenceType="i=47" IsForward="false">ns=2;s=Plant.Press1</Reference>
      <Reference ReferenceType="ns=1;i=1">ns=2;s=Plant.Press2.Speed</Reference>
    </References>
  </UAObject>
  <UAVariable NodeId="ns=1;i=3" BrowseName="1:Level" ParentNodeId="ns=1;i=2" DataType="i=11">
    <DisplayName>Level</DisplayName>
    <References>
      <Reference ReferenceType="i=40">i=63</Reference>
      <Reference ReferenceType="i=47" IsForward="false">ns=1;i=2</Reference>
    </References>
  </UAVariable>
</UANodeSet>
"""


def build_space(folder: Path, plant: Path, nodesets: Sequence[Path] = ()) -> PlantAddressSpace:
    """Return the address space of a server that has run."""

    async def build() -> PlantAddressSpace:
        wanted = settings(folder, plant).model_copy(update={"nodesets": list(nodesets)})
        async with running(wanted) as plantree:
            return plantree.opcua.space

    return asyncio.run(build())


def description(
    node: ua.NodeId,
    direction: int = ua.BrowseDirection.Both,
    kind: ua.NodeId = NULL,
    *,
    subtypes: bool = True,
    classes: int = 0,
    mask: int = 63,
) -> bytes:
    """Return a BrowseDescription, valid or not, as on the wire."""
    tail = struct.pack("<?II", subtypes, classes, mask)
    return nodeid_to_binary(node) + struct.pack("<I", direction) + nodeid_to_binary(kind) + tail


def browse_body(descriptions: Sequence[bytes], most: int = 0, view: ua.NodeId = NULL) -> bytes:
    head = nodeid_to_binary(view) + struct.pack("<qIIi", 0, 0, most, len(descriptions))
    return head + b"".join(descriptions)


class Client:
    """One session's view services; the answers decoded, or the StatusCode of a ServiceFault."""

    def __init__(self, space: PlantAddressSpace) -> None:
        self.space = space
        self.views = Views(space)
        self.continuation_points = ContinuationPoints()
        self.locale: Locale | None = None
        self.size = 0

    def ask(self, service: str, body: bytes, room: int = ANY) -> Any:
        number = getattr(ua.ObjectIds, f"{service}Request_Encoding_DefaultBinary")
        request = Request(b"\x01\x00" + struct.pack("<H", number), HANDLE, body)
        answer = self.views.answer(request, self, room)
        assert answer is not None
        self.size = len(answer)
        type_id = int.from_bytes(answer[2:4], "little")
        if type_id == ua.ObjectIds.ServiceFault_Encoding_DefaultBinary:
            fault = struct_from_binary(ua.ServiceFault, Buffer(answer))
            assert fault.ResponseHeader.RequestHandle == HANDLE
            return fault.ResponseHeader.ServiceResult.name
        assert type_id == getattr(ua.ObjectIds, f"{service}Response_Encoding_DefaultBinary")
        buffer = Buffer(answer)
        response = struct_from_binary(getattr(ua, f"{service}Response"), buffer)
        assert len(buffer) == 0
        assert response.ResponseHeader.RequestHandle == HANDLE
        return response

    def browse(self, descriptions: Sequence[bytes], most: int = 0, room: int = ANY) -> Any:
        found = self.ask("Browse", browse_body(descriptions, most), room)
        return found if isinstance(found, str) else found.Results

    def browse_next(self, points: Iterable[bytes], *, release: bool = False, room: int = ANY) -> Any:
        parameters = ua.BrowseNextParameters()
        parameters.ReleaseContinuationPoints = release
        parameters.ContinuationPoints = list(points)
        found = self.ask("BrowseNext", struct_to_binary(parameters), room)
        return found if isinstance(found, str) else found.Parameters.Results

    def translate(self, *paths: ua.BrowsePath, room: int = ANY) -> Any:
        parameters = ua.TranslateBrowsePathsToNodeIdsParameters(BrowsePaths=list(paths))
        found = self.ask("TranslateBrowsePathsToNodeIds", struct_to_binary(parameters), room)
        return found if isinstance(found, str) else found.Results


class Reference:
    """What Browse must answer, from the references that nodes hold and the attributes of their targets."""

    def __init__(self, space: PlantAddressSpace) -> None:
        self._space = space
        self._service = ViewService(space)

    def browse(
        self, node: ua.NodeId, direction: int, kind: ua.NodeId, *, subtypes: bool, classes: int, mask: int
    ) -> list[ua.ReferenceDescription] | str:
        if direction not in (0, 1, 2):
            return "BadBrowseDirectionInvalid"
        if not kind.is_null():
            found = self._space.get(kind)
            if found is None or self._attribute(kind, ua.AttributeIds.NodeClass) != ua.NodeClass.ReferenceType:
                return "BadReferenceTypeIdInvalid"
        data = self._space.get(node)
        if data is None:
            return "BadNodeIdUnknown"
        wanted = ua.BrowseDescription(node, ua.BrowseDirection(direction), kind, subtypes, classes)
        result: list[ua.ReferenceDescription] = []
        for reference in list(data.references):
            full = self._full(reference)
            if self._service._is_suitable_ref(wanted, full):
                result.append(_masked(full, mask))
        return result

    def _full(self, reference: ua.ReferenceDescription) -> ua.ReferenceDescription:
        target = reference.NodeId
        node_class = self._attribute(target, ua.AttributeIds.NodeClass)
        kinds = [
            found.NodeId
            for found in self._space[target].references
            if found.IsForward and found.ReferenceTypeId == ua.NodeId(ua.ObjectIds.HasTypeDefinition)
        ]
        return ua.ReferenceDescription(
            reference.ReferenceTypeId,
            reference.IsForward,
            target,
            self._attribute(target, ua.AttributeIds.BrowseName),
            self._attribute(target, ua.AttributeIds.DisplayName),
            node_class,
            kinds[0] if kinds else NULL,
        )

    def _attribute(self, node: ua.NodeId, attribute: ua.AttributeIds) -> Any:
        value = self._space.read_attribute_value(node, attribute).Value
        assert value is not None
        return value.Value


def _masked(full: ua.ReferenceDescription, mask: int) -> ua.ReferenceDescription:
    return ua.ReferenceDescription(
        full.ReferenceTypeId if mask & 1 else NULL,
        full.IsForward if mask & 2 else False,
        full.NodeId,
        full.BrowseName if mask & 8 else ua.QualifiedName(None, 0),
        full.DisplayName if mask & 16 else ua.LocalizedText(),
        full.NodeClass if mask & 4 else ua.NodeClass.Unspecified,
        full.TypeDefinition if mask & 32 else NULL,
    )
