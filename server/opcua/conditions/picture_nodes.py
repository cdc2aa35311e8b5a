"""Nodes of pictures of the past: below each camera a folder of files that nobody can change (OPC 10000-20 4.2, 4.3)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData

from address_space.model import AlarmDeclaration, AlarmKind
from server.evidence import READ_ROLE
from server.opcua import attributes as attrs
from server.opcua.attributes import node_id, qualified
from server.opcua.conditions.fields import variant
from server.opcua.conditions.files import Files
from server.opcua.conditions.forms import Form, Forms
from server.opcua.conditions.members import Path
from server.opcua.conditions.nodes import ConditionNodes, Owner, Top, no_value, to_member
from server.opcua.conditions.pictures import FOLDER, Picture, Pictures, has_folder
from server.opcua.conditions.vision import MIME_TYPE
from server.opcua.references import HAS_COMPONENT, modelling_rule, new_node, reference, type_reference
from server.store import from_ticks

_V, _OBJECT = ua.VariantType, ua.NodeClass.Object
_FILE_TYPE, _DIRECTORY_TYPE = ua.NodeId(ua.ObjectIds.FileType), ua.NodeId(ua.ObjectIds.FileDirectoryType)
_ABOUT = "Pictures of the camera's alarms, newest first"
_MODIFIED: Path = ("LastModifiedTime",)


def _named(name: str, words: str) -> AlarmDeclaration:
    """Return what stands for a declaration where nodes of members are made."""
    return AlarmDeclaration(name, 1, words, AlarmKind.VISION, acknowledge_role=READ_ROLE)


class PictureNodes:
    """Builds them; values come from `files`."""

    def __init__(self, pictures: Pictures, forms: Forms, nodes: ConditionNodes, files: Files) -> None:
        self._pictures, self._forms, self._nodes, self._files = pictures, forms, nodes, files

    @cached_property
    def _directory(self) -> Form:
        return self._forms.shared(_named(FOLDER, _ABOUT), "FileDirectoryType", {})

    @cached_property
    def _file(self) -> Form:
        never = variant(False, _V.Boolean)
        constants = {
            ("Writable",): never, ("UserWritable",): never, MIME_TYPE: variant("image/jpeg", _V.String),
        }  # fmt: skip
        return self._forms.shared(_named("", "A picture"), "FileType", constants, (MIME_TYPE, _MODIFIED))

    def _has(self, owner: Owner) -> bool:
        return has_folder(owner.type) if owner.machine is None else self._pictures.has_folder(owner.machine)

    def identifiers(self, owner: Owner) -> Iterator[str]:
        """Yield the identifiers of a folder's own nodes; files come and go."""
        if self._has(owner):
            yield f"{owner.path}.{FOLDER}"
            for path in self._directory.members:
                yield ".".join((owner.path, FOLDER, *path))

    def of_owner(self, owner: Owner) -> list[ua.ReferenceDescription]:
        """Return the reference from a camera, or its type, to its folder."""
        target = node_id(f"{owner.path}.{FOLDER}")
        found = reference(HAS_COMPONENT, target, _OBJECT, qualified(FOLDER), type_definition=_DIRECTORY_TYPE)
        return [found] if self._has(owner) else []

    def build(self, owner: Owner, rest: list[str]) -> NodeData | None:
        """Return the node at `rest` below a camera or its type, None where there is none."""
        if rest[0] != FOLDER or not self._has(owner):
            return None
        top, below = f"{owner.path}.{FOLDER}", tuple(rest[1:])
        if not below:
            return self._build_folder(owner, top)
        if below in self._directory.members:
            at = Top(top, qualified(FOLDER), _OBJECT, _DIRECTORY_TYPE, in_type=owner.machine is None)
            data = self._nodes.build_member(at, self._directory, self._directory.members[below], lambda _: no_value())
            for which in (ua.AttributeIds.Executable, ua.AttributeIds.UserExecutable):
                if which in data.attributes:
                    data.attributes[which] = attrs.attribute(False, _V.Boolean)
            return data
        found = self._pictures.find(".".join((top, *below)))
        return None if found is None else self._build_file(top, *found)

    def _build_folder(self, owner: Owner, top: str) -> NodeData:
        data = new_node(top, attrs.folder_attributes(FOLDER, _ABOUT))
        data.references.append(type_reference(_DIRECTORY_TYPE, "FileDirectoryType", ua.NodeClass.ObjectType))
        data.references.append(owner.reference(HAS_COMPONENT, forward=False))
        data.references += [to_member(top, it) for it in self._directory.below[()]]
        if owner.machine is None:
            data.references.append(modelling_rule(optional=False))
        else:
            data.references += [_to_file(it) for it in self._pictures.of(owner.path).values()]
        return data

    def _build_file(self, folder: str, picture: Picture, path: Path) -> NodeData | None:
        if path:
            member = self._file.members.get(path)
            at = Top(picture.path, qualified(picture.name), _OBJECT, _FILE_TYPE, in_type=False)
            return None if member is None else self._nodes.build_member(
                at, self._file, member, lambda path: self._value(picture, path))  # fmt: skip
        seen = picture.evidence.detection
        words = f"{picture.evidence.rule}: {seen.name}, {seen.confidence:.2f}"
        data = new_node(picture.path, attrs.folder_attributes(picture.name, words))
        data.references.append(type_reference(_FILE_TYPE, "FileType", ua.NodeClass.ObjectType))
        above = reference(
            HAS_COMPONENT, node_id(folder), _OBJECT, qualified(FOLDER), type_definition=_DIRECTORY_TYPE, forward=False
        )
        data.references.append(above)
        data.references += [to_member(picture.path, it) for it in self._file.below[()]]
        return data

    def _value(self, picture: Picture, path: Path) -> AttributeValue:
        value = AttributeValue(ua.DataValue())
        value.value_callback = lambda _node, _attribute: self._read(picture, path)
        return value

    def _read(self, picture: Picture, path: Path) -> ua.DataValue:
        if path == ("OpenCount",):
            found = variant(self._files.open[picture.path], _V.UInt16)
        elif path == _MODIFIED:
            found = variant(from_ticks(picture.evidence.frame_time), _V.DateTime)
        else:
            size = self._files.size(picture.evidence, clean=picture.clean)
            if size is None:
                return ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadNotFound))
            found = variant(size, _V.UInt64)
        now = datetime.now(UTC)
        return ua.DataValue(found, ua.StatusCode(), now, now)


def _to_file(picture: Picture) -> ua.ReferenceDescription:
    target, name = node_id(picture.path), qualified(picture.name)
    return reference(HAS_COMPONENT, target, _OBJECT, name, type_definition=_FILE_TYPE)
