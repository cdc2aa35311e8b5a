"""Who may see which diagnostics: what is of security is for the SecurityAdmin (OPC 10000-5 7.15, 7.16)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from dataclasses import replace

from asyncua import ua

from address_space.model import Role
from server.commands import Commands
from server.opcua.attributes import READ_ONLY
from server.opcua.diagnostics.service import ENABLED_FLAG, Diagnostics
from server.opcua.rights import Rights
from server.opcua.space import PlantAddressSpace
from server.security.principal import Principal

_READ_AND_WRITE = 0x03


class DiagnosticRights(Rights):
    """The plant's rights, and those of diagnostics."""

    def __init__(self, space: PlantAddressSpace, commands: Commands, diagnostics: Diagnostics) -> None:
        super().__init__(space, commands)
        self._diagnostics = diagnostics

    def may_read(self, item: ua.ReadValueId, principal: Principal) -> bool:
        """Whether a principal may read an attribute."""
        if item.AttributeId == ua.AttributeIds.Value and self._diagnostics.is_of_security(item.NodeId):
            return principal.has(Role.SecurityAdmin)
        return super().may_read(item, principal)

    def read(self, item: ua.ReadValueId, principal: Principal) -> ua.DataValue:
        """Return an attribute as the principal sees it."""
        found = super().read(item, principal)
        if item.AttributeId != ua.AttributeIds.UserAccessLevel or found.Value is None:
            return found
        level = None
        if item.NodeId == ENABLED_FLAG:
            level = _READ_AND_WRITE if Diagnostics.may_switch(principal) else READ_ONLY
        elif self._diagnostics.is_of_security(item.NodeId) and not principal.has(Role.SecurityAdmin):
            level = 0
        return found if level is None else replace(found, Value=ua.Variant(level, ua.VariantType.Byte))
