"""The parts of Grafana's foundation SDK that dashboards are built with, in one place.

The SDK warns at import that it would rather have schema v2; every Grafana reads v1, from files too, so v1 it is.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import (
        bargauge,
        common,
        dashboard,
        gauge,
        prometheus,
        stat,
        statetimeline,
        statushistory,
        table,
        timeseries,
    )
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.variants import Dataquery
    from grafana_foundation_sdk.models import common as common_model
    from grafana_foundation_sdk.models import dashboard as dashboard_model
    from grafana_foundation_sdk.models import prometheus as prometheus_model
    from grafana_foundation_sdk.models import units

__all__ = [
    "Builder",
    "Dataquery",
    "JSONEncoder",
    "bargauge",
    "common",
    "common_model",
    "dashboard",
    "dashboard_model",
    "gauge",
    "prometheus",
    "prometheus_model",
    "stat",
    "statetimeline",
    "statushistory",
    "table",
    "timeseries",
    "units",
]
