"""Commands, the emergency stop among them."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from gateways.web.api.common import Answer, Form, TheCaller, TheWeb, answer, documented
from gateways.web.api.forms import Outputs
from gateways.web.mapping import command_form

router = APIRouter(tags=["commands"])


class Arguments(Form):
    """Arguments of a command, by name."""

    arguments: dict[str, bool | int | float | str] = Field(default_factory=dict[str, bool | int | float | str])


class Commands(Answer):
    """All commands."""

    commands: list[dict[str, Any]]


@router.get("/commands", responses=documented(Commands))
async def list_commands(web: TheWeb, _caller: TheCaller) -> Response:
    """Return every command with its arguments and the role that it needs."""
    return answer({"commands": [command_form(it) for it in web.context.plant.commands.values()]})


@router.get("/commands/{path}", responses=documented(None, 404))
async def read_command(path: str, web: TheWeb, _caller: TheCaller) -> Response:
    """Return a command with its arguments and the role that it needs."""
    return answer(command_form(web.actions.command(path)))


@router.post("/commands/{path}", responses=documented(Outputs, 404, 409, 501, 502, 503, 504))
async def execute(path: str, web: TheWeb, caller: TheCaller, body: Arguments | None = None) -> Response:
    """Carry out a command; answers once the machine has confirmed it.

    `EmergencyStop` needs no reason. `ResetEmergencyStop` takes two calls: with an empty code it returns a code, and
    with that code it releases.
    """
    return answer({"outputs": await web.actions.execute(path, {} if body is None else body.arguments, caller)})
