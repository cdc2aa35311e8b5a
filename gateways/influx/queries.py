"""Samples back out of a database, with their times exact: VictoriaMetrics' export, InfluxQL of all InfluxDBs."""

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from gateways.influx.mapping import MEASUREMENT

Get = Callable[[str], Awaitable[str]]

_TICKS_MS = 10_000
_TICK_NS = 100


@dataclass(frozen=True, slots=True)
class Row:
    """One line as the database holds it: `ticks` since 1970; `age` (s) where it is a heartbeat."""

    node: str
    ticks: int
    status: int
    value: float | None
    text: str | None
    age: float | None


async def victoria(get: Get, _bucket: str, start: int, end: int, nodes: Sequence[str] | None) -> list[Row]:
    """Export from VictoriaMetrics what lies between two times (ticks since 1970), of some nodes or of all.

    Rows of a variable whose times differ by less than a millisecond cannot be told apart there; they are left out.
    """
    names = "|".join(f"{MEASUREMENT}_{name}" for name in ("value", "text", "status", "age"))
    selector = f'__name__=~"{names}"'
    if nodes is not None:
        selector += ',node=~"' + "|".join(node.replace(".", "\\\\.") for node in nodes) + '"'
    query = {"match[]": "{" + selector + "}", "start": f"{start / 1e7:.3f}", "end": f"{end / 1e7:.3f}"}
    text = await get(f"/api/v1/export?{urlencode(query)}")
    found: defaultdict[tuple[str, int], dict[str, set[Any]]] = defaultdict(lambda: defaultdict(set))
    for line in text.splitlines():
        series = cast("dict[str, Any]", json.loads(line))
        labels = series["metric"]
        name = labels["__name__"].removeprefix(f"{MEASUREMENT}_")
        for time, number in zip(series["timestamps"], series["values"], strict=True):
            found[labels["node"], time][name].add(labels.get("text", "") if name == "text" else number)
    return [
        Row(
            node,
            time * _TICKS_MS,
            int(_only(fields, "status")),
            *(_only(fields, name) for name in ("value", "text", "age")),
        )
        for (node, time), fields in found.items()
        if len(fields["status"]) == 1 and all(len(values) <= 1 for values in fields.values())
    ]


async def influxql(get: Get, bucket: str, start: int, end: int, nodes: Sequence[str] | None) -> list[Row]:
    """Ask InfluxDB what lies between two times (ticks since 1970), of some nodes or of all."""
    where = f"time >= {start * _TICK_NS} AND time <= {end * _TICK_NS}"
    if nodes is not None:
        where += " AND (" + " OR ".join(f"\"node\" = '{_literal(node)}'" for node in nodes) + ")"
    statement = f'SELECT "node", "status", "value", "text", "age" FROM "{MEASUREMENT}" WHERE {where}'  # noqa: S608
    answer = json.loads(await get("/query?" + urlencode({"db": bucket, "epoch": "ns", "q": statement})))
    rows: list[Row] = []
    for series in answer["results"][0].get("series", []):
        place = {column: index for index, column in enumerate(series["columns"])}
        for values in series["values"]:
            node, status, value, text, age = (
                values[place[name]] for name in ("node", "status", "value", "text", "age")
            )
            rows.append(Row(node, values[place["time"]] // _TICK_NS, int(status), value, text, age))
    return rows


def _only(fields: dict[str, set[Any]], name: str) -> Any:
    return next(iter(fields[name]), None) if name in fields else None


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
