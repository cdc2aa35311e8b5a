"""The REST interface below /api/v1: a router a subject, all of them joined here."""

from fastapi import APIRouter, Depends

from gateways.web.api import alarms, certificates, commands, history, plant, session, snapshots, tokens, values
from gateways.web.api.common import no_unknown_query

PREFIX = "/api/v1"

router = APIRouter(prefix=PREFIX, dependencies=[Depends(no_unknown_query)])
for part in (values, history, alarms, commands, plant, snapshots, certificates, tokens, session):
    router.include_router(part.router)
