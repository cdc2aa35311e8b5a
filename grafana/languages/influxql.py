"""InfluxQL, for InfluxDB 1, 2 and 3. It cannot join: a variable that turned Bad shows its last value for CARRY."""

# ruff: noqa: S608  these are queries, of names in the model and no input
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from grafana.query import ALARM_CARRY, BAD, CARRY, UNCERTAIN, Series, Speaks, Target
from grafana.settings import Language

_SITE = '"site" =~ /^(${site:regex})$/'
_OF_CONDITIONS = f'{_SITE} AND "source" =~ /^(${{machine:regex}})$/'
_SHOWN = '"active" = 1 AND "hidden" = 0'
"""Active, and neither shelved nor suppressed."""
_SINCE = f"time > now() - {CARRY}"
_ALARM_SINCE = f"time > now() - {ALARM_CARRY}"
_ACTIVATION = '"event" = \'active\' AND "hidden" = 0'


def where(series: Series) -> str:
    """Return the condition that chooses the variables."""
    machine = "" if series.any_machine else ' AND "node" =~ /^(${machine:regex})[.]/'
    names = "|".join(series.names)
    return f'"type" = \'{series.type}\' AND "name" =~ /^({names})$/ AND {_SITE}{machine}'


class InfluxQl(Speaks):
    """Speaks it; grafana.query.Speaks tells what each question is."""

    name: Language = "influxql"
    plugin = "influxdb"

    @override
    def trend(self, series: Series) -> list[Target]:
        return [
            Target(
                f'SELECT last("value") FROM "opcua" WHERE {where(series)} AND $timeFilter '
                'GROUP BY time($__interval), "node" fill(none)',
                legend="$tag_node",
            )
        ]

    @override
    def last(self, series: Series) -> list[Target]:
        text = f'SELECT last("value") FROM "opcua" WHERE {where(series)} AND {_SINCE} GROUP BY "node"'
        return [Target(text, legend="$tag_node")]

    @override
    def texts(self, series: Series) -> list[Target]:
        text = f'SELECT last("text") AS "text" FROM "opcua" WHERE {where(series)} AND {_SINCE} GROUP BY "node"'
        return [Target(text, as_table=True)]

    @override
    def growth(self, series: Series) -> list[Target]:
        text = f'SELECT spread("value") FROM "opcua" WHERE {where(series)} AND $timeFilter GROUP BY "node"'
        return [Target(text, legend="$tag_node")]

    @override
    def hourly(self, series: Series) -> list[Target]:
        return [
            Target(
                f'SELECT spread("value") FROM "opcua" WHERE {where(series)} AND $timeFilter '
                'GROUP BY time(1h), "node" fill(none)',
                legend="$tag_node",
            )
        ]

    @override
    def qualities(self) -> list[Target]:
        present = f'SELECT last("status") AS "s" FROM "opcua" WHERE {_SITE} AND {_SINCE} GROUP BY "site", "node"'
        counted = {
            "Good": f'"s" < {UNCERTAIN}',
            "Uncertain": f'"s" >= {UNCERTAIN} AND "s" < {BAD}',
            "Bad": f'"s" >= {BAD}',
        }
        return [
            Target(f'SELECT count("s") FROM ({present}) WHERE {which}', legend=name) for name, which in counted.items()
        ]

    @override
    def standing(self) -> list[Target]:
        columns = '"condition", "source", "severity", "active", "acked", "message", "snapshot"'
        return [Target(f'SELECT {columns} FROM ({_PRESENT}) WHERE ({_SHOWN}) OR "acked" = 0', as_table=True)]

    @override
    def condition_states(self) -> list[Target]:
        return [
            Target(
                f'SELECT "active" * 2 + 1 - "acked" AS "state" FROM "alarm" WHERE {_OF_CONDITIONS} '
                f'AND time >= ${{__from}}ms - {ALARM_CARRY} AND time <= ${{__to}}ms GROUP BY "condition"',
                legend="$tag_condition",
            )
        ]

    @override
    def standing_count(self) -> list[Target]:
        return [Target(f'SELECT count("active") FROM ({_PRESENT}) WHERE {_SHOWN}', legend="standing")]

    @override
    def unacknowledged_count(self) -> list[Target]:
        return [Target(f'SELECT count("active") FROM ({_PRESENT}) WHERE "acked" = 0', legend="unacknowledged")]

    @override
    def activations(self) -> list[Target]:
        return [Target(f"{_ACTIVATIONS} AND $timeFilter", legend="activations")]

    @override
    def activations_by_hour(self) -> list[Target]:
        text = f'{_ACTIVATIONS} AND $timeFilter GROUP BY time(1h), "source" fill(none)'
        return [Target(text, legend="$tag_source")]

    @override
    def offenders(self) -> list[Target]:
        return [Target(f'{_ACTIVATIONS} AND $timeFilter GROUP BY "condition"', legend="$tag_condition")]

    @override
    def snapshots(self) -> list[Target]:
        return [
            Target(
                f'SELECT "snapshot", "condition" FROM "alarm" WHERE {_OF_CONDITIONS} '
                f"AND {_ALARM_SINCE} ORDER BY time DESC LIMIT 24",
                as_table=True,
            )
        ]

    @override
    def sites(self) -> str:
        return 'SHOW TAG VALUES FROM "opcua" WITH KEY = "site"'

    @override
    def machines(self, machine_type: str) -> str:
        chosen = f" AND \"type\" = '{machine_type}'" if machine_type else ""
        return f'SHOW TAG VALUES FROM "opcua" WITH KEY = "node" WHERE {_SITE}{chosen}'

    @override
    def annotation(self) -> Mapping[str, Any]:
        columns = '"condition", "source", "message"'
        query = f'SELECT {columns} FROM "alarm" WHERE {_ACTIVATION} AND {_OF_CONDITIONS} AND $timeFilter'
        return {
            "target": {"refId": "Anno", "query": query, "rawQuery": True, "resultFormat": "table"},
            "mappings": {
                "title": {"source": "field", "value": "condition"},
                "text": {"source": "field", "value": "message"},
            },
        }


_PRESENT = (
    'SELECT last("severity") AS "severity", last("active") AS "active", last("acked") AS "acked", '
    'last("hidden") AS "hidden", last("message") AS "message", last("snapshot") AS "snapshot" FROM "alarm" '
    f'WHERE {_OF_CONDITIONS} AND {_ALARM_SINCE} GROUP BY "site", "condition", "source"'
)
_ACTIVATIONS = f'SELECT count("severity") FROM "alarm" WHERE {_ACTIVATION} AND {_OF_CONDITIONS}'
