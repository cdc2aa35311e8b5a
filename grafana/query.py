"""What a panel asks, whatever the language; grafana/languages says it in PromQL, Flux or InfluxQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from grafana.settings import Language

CARRY_S = 300
"""How long a last value is carried forward (s): five of the gateway's heartbeats, so that what is older is no longer
known, and shown as such."""
CARRY = "5m"
ALARM_CARRY = "7d"
"""How far back a condition's last transition is looked for: transitions are not repeated."""

BAD = 0x8000_0000
UNCERTAIN = 0x4000_0000
DATASOURCE = "datasource"
"""Name of the dashboards' variable that names the data source."""


@dataclass(frozen=True, slots=True)
class Series:
    """Variables of one ObjectType by name; `any_machine` where the variable `machine` is not to choose."""

    type: str
    names: tuple[str, ...]
    any_machine: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel: its text, and how Grafana is to run it."""

    text: str
    instant: bool = False
    as_table: bool = False
    legend: str = ""
    hidden: bool = False


class Speaks(Protocol):
    """A query language: every question that the dashboards have."""

    name: Language
    plugin: str
    """Type of Grafana's data source: prometheus, influxdb."""

    def trend(self, series: Series) -> list[Target]:
        """Ask for values over the time range, one series a variable."""
        ...

    def last(self, series: Series) -> list[Target]:
        """Ask for present values; none where the present status is Bad."""
        ...

    def texts(self, series: Series) -> list[Target]:
        """Ask for present texts, a row each."""
        ...

    def growth(self, series: Series) -> list[Target]:
        """Ask how much each counter grew over the time range."""
        ...

    def hourly(self, series: Series) -> list[Target]:
        """Ask how much each counter grew in each hour."""
        ...

    def qualities(self) -> list[Target]:
        """Ask for the numbers of variables whose status is Good, Uncertain, Bad."""
        ...

    def standing(self) -> list[Target]:
        """Ask for conditions that are active or not acknowledged, a row each."""
        ...

    def condition_states(self) -> list[Target]:
        """Ask for the state of each condition: 0 normal, 1 returned, 2 acknowledged, 3 unacknowledged (ISA-18.2)."""
        ...

    def standing_count(self) -> list[Target]:
        """Ask how many conditions are active."""
        ...

    def unacknowledged_count(self) -> list[Target]:
        """Ask how many conditions nobody has acknowledged."""
        ...

    def activations(self) -> list[Target]:
        """Ask how many activations there were in the time range."""
        ...

    def activations_by_hour(self) -> list[Target]:
        """Ask for activations in each hour, one series a source."""
        ...

    def offenders(self) -> list[Target]:
        """Ask for the conditions with the most activations in the time range."""
        ...

    def snapshots(self) -> list[Target]:
        """Ask for alarms with a picture, the newest first."""
        ...

    def sites(self) -> str | Mapping[str, Any]:
        """Ask for the values of the variable `site`."""
        ...

    def machines(self, machine_type: str) -> str | Mapping[str, Any]:
        """Ask for the nodes of a type, empty for all: MACHINE_OF makes the values of the variable `machine` of them."""
        ...

    def annotation(self) -> Mapping[str, Any]:
        """Return what an annotation query adds to its name and data source: activations."""
        ...


MACHINE_OF = "/^(.*)[.][^.]+$/"
"""Regular expression of Grafana that leaves a machine's path of a variable's."""
