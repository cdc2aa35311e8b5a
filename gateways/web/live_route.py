"""The WebSocket of live values: who may open it is checked before; what goes over it is gateways.web.live's."""

import asyncio
import contextlib

from starlette.websockets import WebSocket, WebSocketDisconnect

from gateways.web.frames import EXTENSION
from gateways.web.live import TOO_MANY
from gateways.web.ports import SCOPE_CALLER, Web
from gateways.web.sessions import WebSession
from server.ports import CommandError

_UNKNOWN = 4404
_TOUCH_S = 30.0


async def serve(websocket: WebSocket) -> None:
    """Show a page values until it goes; `under` names variables and machines, all by default."""
    web: Web = websocket.scope["plantree.web"]
    caller = websocket.scope[SCOPE_CALLER]
    await websocket.accept()
    under = websocket.query_params.getlist("under")
    try:
        variables = web.reading.variables(under, caller.principal) if under else None
    except CommandError as error:
        await websocket.close(_UNKNOWN, str(error)[:100])
        return
    mask = web.live.mask(caller.principal, variables)
    socket = websocket.scope["extensions"][EXTENSION]
    async with web.live.watching(socket, caller, mask) as page:
        if page is None:
            await websocket.close(TOO_MANY, "too many pages are open")
            return
        reading = asyncio.create_task(_read(websocket, caller))
        try:
            await asyncio.wait((reading, page.ended), return_when=asyncio.FIRST_COMPLETED)
            if page.ended.done() and socket.is_open:
                await websocket.close(page.ended.result())
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect):
                await reading


async def _read(websocket: WebSocket, caller: object) -> None:
    """Take what the page sends until it goes: nothing is asked of it. An open page keeps its login."""
    while True:
        try:
            async with asyncio.timeout(_TOUCH_S):
                message = await websocket.receive()
        except TimeoutError:
            if isinstance(caller, WebSession):
                caller.touch()
            continue
        if message["type"] == "websocket.disconnect":
            return
