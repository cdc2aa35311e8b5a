"""Alert rules, in each query language, and where they are sent."""

# ruff: noqa: S608  these are queries, of names in the model and no input
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grafana.boards import DEFAULT_UID, TAG
from grafana.query import ALARM_CARRY, CARRY, CARRY_S
from grafana.settings import Language

GROUP = "plantree"
INTERVAL_S = 60
CONTACT = "Plantree"
FOLDER_UID = "plantree"
CRITICAL_SEVERITY = 700
"""Severity (1 to 1000) from which a standing condition is sent as an alert."""
_LATE_S = 60


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert rule: it fires where its query returns a number above 0, or nothing if `fires_on_nothing`."""

    uid: str
    title: str
    summary: str
    description: str
    severity: str
    queries: Mapping[Language, str]
    pending: str = "1m"
    fires_on_nothing: bool = False
    looks_back_s: int = CARRY_S


_GATEWAY = "\"type\" = 'GatewayDiagnosticsType'"
_SAME = "on(site, condition, source)"
_PROM_GATEWAY = 'type="GatewayDiagnosticsType"'
_FLUX_GATEWAY = (
    f"from(bucket: v.defaultBucket)\n  |> range(start: -{CARRY})\n"
    '  |> filter(fn: (r) => r._measurement == "opcua" and r.type == "GatewayDiagnosticsType"'
)
_FLUX_ALARMS = (
    f"from(bucket: v.defaultBucket)\n  |> range(start: -{ALARM_CARRY})\n"
    '  |> filter(fn: (r) => r._measurement == "alarm" and r._field =~ /^(active|severity|hidden)$/)\n'
    '  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")\n'
    '  |> group(columns: ["site", "condition", "source"])\n  |> sort(columns: ["_time"])\n  |> tail(n: 1)\n'
)

RULES = (
    Rule(
        "plantree-critical",
        "Critical condition stands",
        "{{ .Labels.condition }} stands",
        f"A condition of severity {CRITICAL_SEVERITY} or more is active, and neither shelved nor suppressed.",
        "critical",
        {
            "promql": f"(last_over_time(alarm_active[{ALARM_CARRY}]) == 1) "
            f"and {_SAME} (last_over_time(alarm_severity[{ALARM_CARRY}]) >= {CRITICAL_SEVERITY}) "
            f"unless {_SAME} (last_over_time(alarm_hidden[{ALARM_CARRY}]) == 1)",
            "flux": f"{_FLUX_ALARMS}"
            f"  |> filter(fn: (r) => r.active == 1 and r.hidden == 0 and r.severity >= {CRITICAL_SEVERITY})\n"
            '  |> keep(columns: ["_time", "active", "condition"])\n  |> group(columns: ["condition"])',
            "influxql": 'SELECT "active" FROM (SELECT last("active") AS "active", last("severity") AS "severity", '
            f'last("hidden") AS "hidden" FROM "alarm" WHERE time > now() - {ALARM_CARRY} '
            'GROUP BY "site", "condition", "source") '
            f'WHERE "active" = 1 AND "hidden" = 0 AND "severity" >= {CRITICAL_SEVERITY} GROUP BY "condition"',
        },
        pending="0s",
        looks_back_s=7 * 86_400,
    ),
    Rule(
        "plantree-gap",
        "Data gap",
        "No samples arrive",
        f"The database has had no sample for {CARRY}: the gateway, the way to the database or the server is down.",
        "critical",
        {
            # A number above 0 fires: nothing at all is what is to fire, and does by `fires_on_nothing`.
            "promql": f"count(count_over_time(opcua_status[{CARRY}])) * 0",
            "flux": f"from(bucket: v.defaultBucket)\n  |> range(start: -{CARRY})\n"
            '  |> filter(fn: (r) => r._measurement == "opcua" and r._field == "status")\n'
            "  |> group()\n  |> last()\n  |> map(fn: (r) => ({_time: r._time, _value: 0.0}))",
            "influxql": f'SELECT count("status") * 0 FROM "opcua" WHERE time > now() - {CARRY}',
        },
        fires_on_nothing=True,
    ),
    Rule(
        "plantree-gateway",
        "Gateway down",
        "{{ .Labels.node }} is down",
        f"A gateway restarts, has failed, or is late by more than {_LATE_S} s.",
        "warning",
        {
            "promql": f'(last_over_time(opcua_value{{{_PROM_GATEWAY},name="Lag"}}[{CARRY}]) > {_LATE_S}) or '
            f'(last_over_time(opcua_text{{{_PROM_GATEWAY},name="State",text=~"Failed|Restarting"}}[2m]) > 0)',
            "flux": f'late = {_FLUX_GATEWAY} and r.name == "Lag" and r._field == "value")\n'
            f"  |> last()\n  |> filter(fn: (r) => r._value > {_LATE_S}.0)\n"
            '  |> keep(columns: ["_time", "_value", "node"])\n\n'
            f'failed = {_FLUX_GATEWAY} and r.name == "State" and r._field == "text")\n'
            '  |> last()\n  |> filter(fn: (r) => r._value == "Failed" or r._value == "Restarting")\n'
            '  |> map(fn: (r) => ({_time: r._time, _value: 1.0, node: r.node}))\n  |> group(columns: ["node"])\n\n'
            "union(tables: [late, failed])",
            "influxql": f'SELECT "lag" FROM (SELECT last("value") AS "lag" FROM "opcua" WHERE {_GATEWAY} '
            f'AND "name" = \'Lag\' AND time > now() - {CARRY} GROUP BY "node") '
            f'WHERE "lag" > {_LATE_S} GROUP BY "node"',
        },
    ),
)
"""In InfluxQL a failed gateway is told by its lag; one without its peer is a critical condition, CommunicationLost."""


def rule_group(language: Language, *, contact: bool) -> dict[str, Any]:
    """Return the group of all rules as the provisioning API takes it; `contact` sends them to the contact point."""
    rules = [{**_rule(rule, language, contact=contact), "folderUID": FOLDER_UID, "orgID": 1} for rule in RULES]
    rules = [{**rule, "ruleGroup": GROUP} for rule in rules]
    return {"title": GROUP, "folderUid": FOLDER_UID, "interval": INTERVAL_S, "rules": rules}


def rule_file(language: Language, folder: str) -> dict[str, Any]:
    """Return the same as a file of Grafana's provisioning, for docker compose: the contact point is there."""
    rules = [_rule(rule, language, contact=True) for rule in RULES]
    group = {"orgId": 1, "name": GROUP, "folder": folder, "interval": f"{INTERVAL_S}s", "rules": rules}
    return {"apiVersion": 1, "groups": [group]}


def contact_point(url: str) -> dict[str, Any]:
    """Return the contact point: a webhook."""
    return {
        "uid": "plantree",
        "name": CONTACT,
        "type": "webhook",
        "settings": {"url": url, "httpMethod": "POST"},
        "disableResolveMessage": False,
    }


def _rule(rule: Rule, language: Language, *, contact: bool) -> dict[str, Any]:
    receiver = {"notification_settings": {"receiver": CONTACT}} if contact else {}
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "C",
        "data": [_query(rule, language), _expression("B", "reduce"), _expression("C", "threshold")],
        "noDataState": "Alerting" if rule.fires_on_nothing else "OK",
        "execErrState": "Error",
        "for": rule.pending,
        "annotations": {"summary": rule.summary, "description": rule.description},
        "labels": {"severity": rule.severity, "application": TAG},
        "isPaused": False,
        **receiver,
    }


def _query(rule: Rule, language: Language) -> dict[str, Any]:
    text = rule.queries[language]
    model: dict[str, Any] = {"refId": "A"}
    if language == "promql":
        model |= {"expr": text, "instant": True, "range": False}
    elif language == "flux":
        model |= {"query": text}
    else:
        model |= {"query": text, "rawQuery": True, "resultFormat": "time_series"}
    span = {"from": rule.looks_back_s, "to": 0}
    return {"refId": "A", "datasourceUid": DEFAULT_UID, "relativeTimeRange": span, "model": model}


def _expression(ref_id: str, kind: str) -> dict[str, Any]:
    """B takes each series' last number; C tells whether that is above 0."""
    model: dict[str, Any] = {"refId": ref_id, "type": kind, "datasource": {"type": "__expr__", "uid": "__expr__"}}
    if kind == "reduce":
        model |= {"expression": "A", "reducer": "last"}
    else:
        model |= {"expression": "B", "conditions": [{"evaluator": {"type": "gt", "params": [0]}}]}
    span = {"from": 0, "to": 0}
    return {"refId": ref_id, "datasourceUid": "__expr__", "relativeTimeRange": span, "model": model}
