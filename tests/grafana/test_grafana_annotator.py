"""Annotations that follow the conditions of a running engine, over outages of Grafana and restarts of ours."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from grafana_client.client import GrafanaException

from gateways.transitions import FILE as TRANSITIONS
from grafana.annotator import FILE, Annotator
from grafana.settings import GrafanaSettings
from tests.grafana.stand_in import TOKEN, StandIn
from tests.server.alarms.alarms_rig import Rig, plant_of, running


def annotator(rig: Rig, grafana: StandIn, folder: Path) -> Annotator:
    return Annotator(rig.alarms, GrafanaSettings(url=grafana.url, token=TOKEN), folder)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def annotating(rig: Rig, grafana: StandIn, folder: Path) -> AsyncGenerator["asyncio.Task[None]"]:
    task = asyncio.create_task(annotator(rig, grafana, folder).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def sent(grafana: StandIn) -> list[tuple[str, str, Any]]:
    """Return what Grafana was asked about the condition; the rig has others, for marks."""
    begun = [(str(it + 1), one) for it, one in enumerate(grafana.requests) if one[0] == "POST"]  # its ids: the count
    own = {number for number, (_, _, body) in begun if body["text"].startswith("Plant.M1.High: ")}
    return [
        one for it, one in enumerate(grafana.requests)
        if (str(it + 1) in own if one[0] == "POST" else one[1].rpartition("/")[2] in own)
    ]  # fmt: skip


async def asked(grafana: StandIn, count: int) -> list[tuple[str, str, Any]]:
    """Wait until Grafana was asked so often."""
    async with asyncio.timeout(30):
        while len(sent(grafana)) < count:  # noqa: ASYNC110  its server is another thread
            await asyncio.sleep(0.01)
    return sent(grafana)


async def kept(folder: Path, event_id: bytes) -> None:
    """Wait until it is on the disk that an event was delivered: a kill before makes it come again."""
    async with asyncio.timeout(30):
        while event_id.hex() not in (folder / TRANSITIONS).read_text():  # noqa: ASYNC110  written by a thread
            await asyncio.sleep(0.01)


async def test_a_condition_becomes_a_region_though_we_restart_meanwhile(tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    with StandIn() as grafana:
        async with running(tmp_path, plant) as rig:
            async with annotating(rig, grafana, tmp_path / "grafana"):
                await rig.set(51.0)
                begun = (await asked(grafana, 1))[0]
                await kept(tmp_path / "grafana", rig.state().event_id)
            assert begun[:2] == ("POST", "/annotations")
            raised = rig.state()
            assert begun[2]["tags"] == ["plantree", "Plant.M1", f"severity:{raised.severity}"]
            assert begun[2]["text"] == f"Plant.M1.High: {raised.message}"
            async with annotating(rig, grafana, tmp_path / "grafana"):
                await rig.set(1.0)
                ended = (await asked(grafana, 2))[1]
        assert ended[:2] == ("PATCH", f"/annotations/{grafana.requests.index(begun) + 1}")
        assert ended[2]["timeEnd"] >= begun[2]["time"]
        assert grafana.faults == []


async def test_what_happens_while_grafana_is_away_is_written_later(tmp_path: Path) -> None:
    with StandIn() as grafana:
        async with running(tmp_path, plant_of(tmp_path)) as rig:
            grafana.answer = (503, {"message": "database is locked"})
            async with annotating(rig, grafana, tmp_path / "grafana") as task:
                await rig.set(51.0)
                with pytest.raises(GrafanaException):
                    await task
                await rig.set(1.0)
            refused = len(sent(grafana))
            grafana.answer = None
            async with annotating(rig, grafana, tmp_path / "grafana"):
                later = (await asked(grafana, refused + 2))[refused:]
        assert [it[0] for it in later] == ["POST", "PATCH"]
        assert grafana.faults == []


async def test_a_torn_file_ends_no_region_of_others(tmp_path: Path) -> None:
    folder = tmp_path / "grafana"
    folder.mkdir()
    (folder / FILE).write_text('{"Plant.M1.High": ')
    with StandIn() as grafana:
        async with running(tmp_path, plant_of(tmp_path)) as rig, annotating(rig, grafana, folder):
            await rig.set(51.0)
            assert (await asked(grafana, 1))[0][0] == "POST"
            await rig.set(1.0)
            assert (await asked(grafana, 2))[1][0] == "PATCH"
