"""Commands, set-points and identities of a server elsewhere, for a gateway that runs alone."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, NoReturn

from asyncua import ua

from address_space.model import Plant
from gateways.remote import LOST, Peer, RemotePlant, variant
from server import quality
from server.checks import check_arguments, checked_setpoint
from server.ports import CommandError, Put
from server.security.principal import Principal, authenticated
from server.store import from_ticks, to_ticks

_STOP = "EmergencyStop"


class RemoteCommands:
    """The server's methods and writes. All act as the session's user: for others only the emergency stop is there."""

    def __init__(self, plant: Plant, remote: RemotePlant, user: str) -> None:
        self._plant, self._remote, self._user = plant, remote, user

    async def execute(self, path: str, arguments: Sequence[Any], principal: Principal, origin: str) -> tuple[Any, ...]:
        """Call `Plant.Generator1.Start`; returns its outputs; raises CommandError."""
        del origin
        command = self._plant.commands.get(path)
        if command is None:
            raise CommandError(quality.BAD_METHOD_INVALID, f"there is no command {path}")
        declaration = command.declaration
        if declaration.name != _STOP:
            self._check(principal)
        values = check_arguments(declaration.arguments, arguments)
        typed = zip(values, declaration.arguments, strict=True)
        request = ua.CallMethodRequest(
            ObjectId=self._remote.node_id(command.machine.path),
            MethodId=self._remote.node_id(path),
            InputArguments=[variant(value, argument.type) for value, argument in typed],
        )
        try:
            (result,) = await self._remote.client.uaclient.call([request])
        except LOST as error:
            _raise(error)
        if not result.StatusCode.is_good():
            statuses = tuple(status.value for status in result.InputArgumentResults or ())
            raise CommandError(result.StatusCode.value, f"{path}: {result.StatusCode.name}", statuses)
        return tuple(_plain(output) for output in result.OutputArguments or ())

    async def put_many(self, puts: Sequence[Put], principal: Principal, origin: str) -> list[CommandError | None]:
        """Write set-points in one request, each by itself: returns what went wrong with each."""
        del origin
        faults: list[CommandError | None] = [self._fault(put, principal) for put in puts]
        good = [index for index, fault in enumerate(faults) if fault is None]
        if not good:
            return faults
        request = ua.WriteParameters(NodesToWrite=[self._write(puts[index]) for index in good])
        try:
            results = await self._remote.client.uaclient.write(request)
        except LOST as error:
            try:
                _raise(error)
            except CommandError as fault:
                return [fault if known is None else known for known in faults]
        for index, status in zip(good, results, strict=True):
            if not status.is_good():
                faults[index] = CommandError(status.value, f"{puts[index].variable.path}: {status.name}")
        return faults

    def _check(self, principal: Principal) -> None:
        if principal.name != self._user:
            message = f"this gateway acts as {self._user} only, not as {principal.name}"
            raise CommandError(quality.BAD_USER_ACCESS_DENIED, message)

    def _fault(self, put: Put, principal: Principal) -> CommandError | None:
        try:
            self._check(principal)
            if not put.variable.declaration.writable:
                raise CommandError(quality.BAD_NOT_WRITABLE, f"{put.variable.path} is no set-point")
            checked_setpoint(put.variable, put.value)
        except CommandError as fault:
            return fault
        return None

    def _write(self, put: Put) -> ua.WriteValue:
        stamp = None if put.source_timestamp is None else from_ticks(put.source_timestamp)
        value = ua.DataValue(
            variant(put.value, put.variable.declaration.type),
            SourceTimestamp=stamp,  # type: ignore[arg-type]  # asyncua's own subclass is not asked for
        )
        return ua.WriteValue(
            NodeId=self._remote.node_id(put.variable.path), AttributeId=ua.AttributeIds.Value, Value=value
        )


class RemoteIdentities:
    """The users of the server, as far as a client can tell: who can open a session, and the user that it acts as."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def authenticate(self, name: str, password: str, peer: str) -> Principal | None:
        """Try a session with these credentials: the server has the say, and throttles."""
        del peer
        client = await self._peer.client(name, password)
        try:
            await client.connect()
        except LOST:
            return None
        with contextlib.suppress(*LOST):
            await client.disconnect()
        return authenticated(name, frozenset())

    def named(self, name: str) -> Principal | None:
        """Return the user that this gateway acts as; no other is known here."""
        return authenticated(name, frozenset()) if name == self._peer.user else None

    def standing(self, name: str) -> tuple[Principal, str] | None:
        """Return the same; whether it has changed, the server alone can tell."""
        found = self.named(name)
        return None if found is None else (found, "")


def _raise(error: Exception) -> NoReturn:
    """Say a failed request as a CommandError."""
    if isinstance(error, ua.UaStatusCodeError):
        raise CommandError(error.code, str(error)) from error
    status = quality.BAD_TIMEOUT if isinstance(error, asyncio.TimeoutError) else quality.BAD_NO_COMMUNICATION
    raise CommandError(status, f"the server does not answer: {error}") from error


def _plain(output: ua.Variant) -> Any:
    return to_ticks(output.Value) if output.VariantType is ua.VariantType.DateTime else output.Value
