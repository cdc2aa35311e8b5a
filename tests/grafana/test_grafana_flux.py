"""Every Flux query of every dashboard in InfluxData's own analysis of types and functions (libflux)."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from address_space import load_plant
from grafana.alerting import RULES
from grafana.languages import SPEAKERS
from grafana.languages.flux import Flux
from grafana.pages import dashboards
from tests.grafana.grafana_rig import NODE, ROOT, asked, filled_in

V = (
    'option v = {timeRangeStart: -1h, timeRangeStop: now(), windowPeriod: 10s, defaultBucket: "plantree", '
    'organization: "plantree"}\n\n'
)
"""What Grafana puts before each query."""


def faults(scripts: Mapping[str, str]) -> list[str]:
    if NODE is None or not (ROOT / "node_modules" / "@influxdata" / "flux-lsp-node").exists():
        pytest.skip("libflux is not installed (npm package @influxdata/flux-lsp-node)")
    # An option stands behind the imports.
    whole = {name: with_options(script) for name, script in scripts.items()}
    command = [NODE, str(Path(__file__).with_name("flux.mjs"))]
    done = subprocess.run(command, input=json.dumps(whole), cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def with_options(script: str) -> str:
    imports = [line for line in script.splitlines() if line.startswith("import ")]
    rest = [line for line in script.splitlines() if not line.startswith("import ")]
    return "\n".join([*imports, V, *rest])


def test_every_query_is_flux() -> None:
    queries = list(asked(dashboards(load_plant(), SPEAKERS["flux"])))
    assert len(queries) > 130
    scripts = {f"{number} {q.dashboard} {q.panel}": filled_in(q.text, 1e9) for number, q in enumerate(queries)}
    choice = {"site": ["Plant"], "machine": ["Plant.Line1", "Plant/Line[2]"]}
    scripts |= {f"chosen {number}": filled_in(q.text, 1e9, **choice) for number, q in enumerate(queries)}
    assert faults(scripts) == []


def test_variables_annotations_and_rules_are_flux() -> None:
    speaks = Flux()
    scripts = {rule.uid: rule.queries["flux"] for rule in RULES}
    scripts |= {"sites": speaks.sites()["query"], "machines": speaks.machines("CameraType")["query"]}
    scripts |= {"all machines": speaks.machines("")["query"], "annotation": speaks.annotation()["target"]["query"]}
    assert faults({name: filled_in(script, 1e9) for name, script in scripts.items()}) == []


def test_what_is_no_flux_is_found() -> None:
    wrong = {
        "syntax": "from(bucket: ",
        "function": 'from(bucket: "x") |> rangee(start: -1h)',
        "argument": 'from(bucket: "x") |> range(begin: -1h)',
        "types": 'from(bucket: "x") |> range(start: -1h) |> filter(fn: (r) => "a" + 1)',
    }
    assert sorted(faults(wrong)) == sorted(wrong)
