"""Method calls: found by object and method as OPC 10000-4 5.11.2 says, carried out by the table of commands."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from typing import Any

from asyncua import ua
from asyncua.server.address_space import MethodService

from address_space.model import Argument, Command
from server import logs, quality
from server.checks import argument_fault
from server.commands import Commands
from server.opcua.attributes import NAMESPACE
from server.opcua.conditions.methods import ConditionMethods
from server.opcua.rights import check_variant, plain
from server.opcua.space import PlantAddressSpace
from server.ports import CommandError
from server.security.principal import Principal

log = logs.get(__name__)


class PlantMethods(MethodService):
    """Methods of the plant go to the commands; any other method is asyncua's."""

    def __init__(self, space: PlantAddressSpace, commands: Commands) -> None:
        super().__init__(space)
        self._space = space
        self._commands = commands
        self.conditions = ConditionMethods(space.conditions, space)

    async def call_as(self, request: ua.CallMethodRequest, principal: Principal, origin: str) -> ua.CallMethodResult:
        """Call one method for a principal; the result says what became of it."""
        if self.conditions.concerns(request):
            return await self.conditions.call(request, principal, origin)
        if request.MethodId.NamespaceIndex != NAMESPACE or request.ObjectId.NamespaceIndex != NAMESPACE:
            return (await self.call([request]))[0]
        given: list[ua.Variant] = list(request.InputArguments or [])
        try:
            command = self.find(str(request.ObjectId.Identifier), str(request.MethodId.Identifier))
            outputs = await self._commands.execute(command.path, _unwrap(command, given), principal, origin)
        except CommandError as error:
            return _failure(error)
        variants = [
            ua.Variant(value, ua.VariantType(int(argument.type)))
            for argument, value in zip(command.declaration.outputs, outputs, strict=True)
        ]
        return ua.CallMethodResult(
            StatusCode=ua.StatusCode(),
            InputArgumentResults=[ua.StatusCode() for _ in given],
            OutputArguments=variants,
        )

    def find(self, object_id: str, method_id: str) -> Command:
        """Return the command behind the plant's identifiers; the method may be the object's own or that of its type.

        Raises CommandError.
        """
        machine = self._space.plant.find_machine(object_id)
        if machine is None:
            raise CommandError(ua.StatusCodes.BadNodeIdUnknown, f"there is no object {object_id}")
        owner, _, name = method_id.rpartition(".")
        if owner not in (machine.path, machine.type.name) or name not in machine.commands:
            raise CommandError(quality.BAD_METHOD_INVALID, f"{machine.path} has no method {method_id}")
        return machine.commands[name]


def _unwrap(command: Command, given: list[ua.Variant]) -> list[Any]:
    """Return the arguments' values; each that is no good has a status of its own (OPC 10000-4 5.12.2)."""
    declared = command.declaration.arguments
    if len(given) == len(declared):
        faults = [_fault(argument, variant) for argument, variant in zip(declared, given, strict=True)]
        if any(faults):
            message = "; ".join(str(fault) for fault in faults if fault is not None)
            statuses = tuple(quality.GOOD if fault is None else fault.status for fault in faults)
            raise CommandError(quality.BAD_INVALID_ARGUMENT, message, statuses)
    return [plain(variant.Value) for variant in given]


def _fault(argument: Argument, variant: ua.Variant) -> CommandError | None:
    try:
        check_variant(variant, ua.VariantType(int(argument.type)))
    except CommandError as error:
        return error
    return argument_fault(argument, plain(variant.Value))


def _failure(error: CommandError) -> ua.CallMethodResult:
    log.debug("method refused", error=str(error), status=f"0x{error.status:08X}")
    return ua.CallMethodResult(
        StatusCode=ua.StatusCode(error.status),
        InputArgumentResults=[ua.StatusCode(status) for status in error.argument_statuses],
        OutputArguments=[],
    )
