"""The embedded broker's process: amqtt behind TLS. It asks its parent, line by line, whom to let in.

A process of its own, because a broker in pure Python takes a good part of a core, and because its faults stay there.
Standard input: one JSON line with what to serve, then answers {"id", "roles" or null}; its end ends the broker.
Standard output: {"ready": port} or {"error": sentence}, then questions {"id", "user", "password", "peer"}.
"""

import asyncio
import json
import logging
import secrets
import sys
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

_OPERATE = "Operator"
_STOP = "EmergencyStop"


class Doorkeeper:
    """Whom to let in, and what they may do: Plantree's own client everything, an Operator commands, others stop."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._waiting: dict[int, asyncio.Future[list[str] | None]] = {}
        self._operators: set[str] = set()
        self._next = 0

    async def admit(self, session: Session) -> bool:
        """Whether to let a client in; anonymous ones never."""
        user, password = session.username, session.password
        if not user or password is None:
            return False
        if user == self._user:
            return secrets.compare_digest(password.encode(), self._password.encode())
        roles = await self._ask(user, password, session.remote_address or "")
        if roles is None:
            return False
        (self._operators.add if _OPERATE in roles else self._operators.discard)(user)
        # A Will is published without asking again.
        return not session.will_flag or self.may(user, session.will_topic or "", Action.PUBLISH)

    def may(self, user: str | None, topic: str, action: Action | None) -> bool:
        """Whether a user who was let in may do that on a topic."""
        if user == self._user or action is not Action.PUBLISH:
            return True
        first = topic.split("/", 1)[0]
        if user in self._operators:
            return first in ("cmd", "set", "spBv1.0")
        return first == "cmd" and topic.endswith(f"/{_STOP}")

    async def _ask(self, user: str, password: str, peer: str) -> list[str] | None:
        self._next += 1
        answer = self._waiting[self._next] = asyncio.get_running_loop().create_future()
        say({"id": self._next, "user": user, "password": password, "peer": peer})
        return await answer

    def answered(self, document: dict[str, Any]) -> None:
        """Take the parent's answer."""
        waiting = self._waiting.pop(document["id"], None)
        if waiting is not None and not waiting.done():
            waiting.set_result(document["roles"])


_doorkeeper: list[Doorkeeper] = []  # amqtt makes its plugins itself, from their names


class Admission(BaseAuthPlugin):
    """amqtt's question who may come in."""

    async def authenticate(self, *, session: Session) -> bool | None:
        """Answer it."""
        return await _doorkeeper[0].admit(session)


class Topics(BaseTopicPlugin):
    """amqtt's question who may do what."""

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool | None:
        """Answer it."""
        return session is not None and topic is not None and _doorkeeper[0].may(session.username, topic, action)


def say(document: dict[str, Any]) -> None:
    """Tell the parent."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def refuse_old_sessions() -> None:
    """Make every session a clean one.

    amqtt 0.12 lets a CONNECT that is not authenticated yet change name and Will of an older session of that client
    identifier; a clean session starts from nothing.
    """
    begin = BrokerProtocolHandler.init_from_connect

    async def begin_clean(*args: Any, **kwargs: Any) -> tuple[BrokerProtocolHandler, Session]:
        handler, session = await begin(*args, **kwargs)
        session.clean_session = True
        return handler, session

    BrokerProtocolHandler.init_from_connect = begin_clean  # pyright: ignore[reportAttributeAccessIssue]


async def serve() -> None:
    """Serve until standard input ends."""
    refuse_old_sessions()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    wanted = json.loads(await reader.readline())
    _doorkeeper.append(Doorkeeper(wanted["user"], wanted["password"]))
    listener = {
        "type": "tcp", "bind": f"{wanted['host']}:{wanted['port']}", "ssl": True,
        "certfile": wanted["certificate"], "keyfile": wanted["key"],
    }  # fmt: skip
    plugins = {f"{__spec__.name if __spec__ else __name__}.{name}": {} for name in ("Admission", "Topics")}
    broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
    try:
        await broker.start()
    except Exception as error:  # noqa: BLE001  whatever it is, the parent has to say it
        say({"error": str(error)})
        return
    say({"ready": wanted["port"]})
    while line := await reader.readline():
        _doorkeeper[0].answered(json.loads(line))
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    # amqtt imports the plugins by this module's name: they must find the doorkeeper that was made here.
    sys.modules.setdefault("gateways.mqtt.broker_process", sys.modules[__name__])
    asyncio.run(serve())
