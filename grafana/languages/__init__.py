"""The questions of grafana/query.py in each query language."""

from grafana.languages.flux import Flux
from grafana.languages.influxql import InfluxQl
from grafana.languages.promql import PromQl
from grafana.query import Speaks
from grafana.settings import Language

SPEAKERS: dict[Language, Speaks] = {"promql": PromQl(), "flux": Flux(), "influxql": InfluxQl()}
