"""Pictures of alarms."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from gateways.web.api.common import Answer, TheCaller, TheWeb, answer, documented
from gateways.web.mapping import iso

router = APIRouter(tags=["snapshots"])

_JPEG = {"description": "The picture", "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
Clean = Annotated[bool, Query(description="Without boxes and captions.")]


class Snapshots(Answer):
    """Pictures, newest first."""

    snapshots: list[dict[str, Any]]


@router.get("/snapshots", responses=documented(Snapshots, 404))
async def list_snapshots(web: TheWeb, caller: TheCaller, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """Return the newest pictures of alarms with what was seen; for an Observer."""
    forms: list[dict[str, Any]] = []
    for id_ in web.reading.evidence(caller.principal)[:limit]:
        found = web.reading.find_evidence(id_, caller.principal)
        forms.append({**asdict(found), "time": iso(found.frame_time)})
    return answer({"snapshots": forms})


@router.get("/snapshots/{id}", responses={**documented(None, 404, 503), 200: _JPEG}, response_class=Response)
async def read_snapshot(id: str, web: TheWeb, caller: TheCaller, clean: Clean = False) -> Response:  # noqa: A002
    """Return a picture; for an Observer."""
    picture = await web.reading.picture(id, caller.principal, clean=clean)
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})
