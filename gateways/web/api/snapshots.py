"""Pictures of alarms."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from gateways.web.api.common import Answer, Form, TheCaller, TheWeb, answer, documented
from gateways.web.mapping import iso

router = APIRouter(tags=["snapshots"])

_JPEG = {"description": "The picture", "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
Clean = Annotated[bool, Query(description="Without boxes and captions.")]


class Snapshots(Answer):
    """Pictures, newest first."""

    snapshots: list[dict[str, Any]]


class Report(Form):
    """Why it was none."""

    comment: str | None = Field(default=None, max_length=4096)


@router.get("/snapshots", responses=documented(Snapshots, 404))
async def list_snapshots(web: TheWeb, caller: TheCaller, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """Return the newest pictures of alarms with what was seen; for an Observer."""
    forms: list[dict[str, Any]] = []
    for id_ in web.reading.evidence(caller.principal)[:limit]:
        found = web.reading.find_evidence(id_, caller.principal)
        role = web.reading.acknowledge_role(found)
        may_report = role is not None and caller.principal.has(role)
        forms.append({**asdict(found), "time": iso(found.frame_time), "may_report": may_report})
    return answer({"snapshots": forms})


@router.get("/snapshots/{id}", responses={**documented(None, 404, 503), 200: _JPEG}, response_class=Response)
async def read_snapshot(id: str, web: TheWeb, caller: TheCaller, clean: Clean = False) -> Response:  # noqa: A002
    """Return a picture; for an Observer."""
    picture = await web.reading.picture(id, caller.principal, clean=clean)
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


@router.post("/snapshots/{id}/false_alarm", status_code=204, response_class=Response,
             responses=documented(None, 404, 409, 501, 503, status=204))  # fmt: skip
async def report_false_alarm(id: str, web: TheWeb, caller: TheCaller, body: Report | None = None) -> Response:  # noqa: A002
    """Say that the alarm of a picture was none: it is kept for training, whatever retention says."""
    found = web.reading.find_evidence(id, caller.principal)
    await web.actions.report_picture(found, None if body is None else body.comment, caller)
    return Response(status_code=204)
