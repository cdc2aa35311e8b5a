"""The list of current alarms as a client keeps it from events and refreshes (OPC 10000-9 4.5), and as a table of it."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from rich.markup import escape
from rich.table import Table

FIELDS = (
    "EventType", "Time", "SourceName", "Message", "Severity", "ConditionName", "BranchId", "Retain",
    "EnabledState/Id", "ActiveState/Id", "ActiveState/EffectiveDisplayName", "AckedState/Id", "ConfirmedState/Id",
    "SuppressedOrShelved", "ShelvingState/CurrentState", "Quality", "Comment", "ClientUserId",
)  # fmt: skip
"""What is selected of each event, by browse path; ConditionId follows them."""

_START = ua.NodeId(ua.ObjectIds.RefreshStartEventType)
_END = ua.NodeId(ua.ObjectIds.RefreshEndEventType)
_OVERFLOW = ua.NodeId(ua.ObjectIds.EventQueueOverflowEventType)
_SEVERITIES = ((800, "bold white on red"), (600, "bold red"), (400, "dark_orange"), (200, "yellow"), (0, "cyan"))
_HEADINGS = ("Time", "Sev", "State", "Source", "Alarm", "Message", "Comment")


@dataclass(frozen=True, slots=True)
class Alarm:
    """A condition, or a branch of it, as its last event told it."""

    condition: str
    branch: str
    fields: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a field's text, empty where the condition has no such field."""
        value = self.fields.get(name)
        return str(getattr(value, "Text", value) or "")

    @property
    def severity(self) -> int:
        """From 1 to 1000, most urgent last."""
        return int(self.fields.get("Severity") or 0)

    @property
    def time(self) -> datetime:
        """When it came into this state (UTC)."""
        found = self.fields.get("Time")
        return found if isinstance(found, datetime) else datetime(1601, 1, 1, tzinfo=UTC)

    @property
    def active(self) -> bool:
        """Whether what it warns of is so now."""
        return bool(self.fields.get("ActiveState/Id"))

    @property
    def acknowledged(self) -> bool:
        """Whether somebody has seen it."""
        return self.fields.get("AckedState/Id") is not False

    @property
    def hidden(self) -> bool:
        """Whether it was shelved, suppressed or taken out of service."""
        return bool(self.fields.get("SuppressedOrShelved"))

    @property
    def state(self) -> str:
        """Return the state in a few words."""
        words = [self.text("ActiveState/EffectiveDisplayName") or ("Active" if self.active else "Inactive")]
        if self.fields.get("EnabledState/Id") is False:
            words = ["Disabled"]
        elif not self.acknowledged:
            words.append("unacknowledged")
        elif self.fields.get("ConfirmedState/Id") is False:
            words.append("unconfirmed")
        if self.hidden:
            shelving = self.text("ShelvingState/CurrentState")
            words.append("suppressed" if shelving in ("", "Unshelved") else shelving.lower())
        quality = self.fields.get("Quality")
        if isinstance(quality, ua.StatusCode) and not quality.is_good():
            words.append(quality.name)
        return ", ".join(words) + (" (earlier)" if self.branch else "")


@dataclass(slots=True)
class AlarmList:
    """Current alarms by condition and branch."""

    alarms: dict[tuple[str, str], Alarm] = field(default_factory=dict[tuple[str, str], Alarm])
    refreshed: bool = False
    """Whether a refresh has ended: the list is complete."""
    overflows: int = 0
    """How often the server has said that events were lost."""
    _suspect: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def take(self, values: Mapping[str, Any]) -> Alarm | None:
        """Take an event; returns the alarm that it is about, None when it is about none."""
        kind = values.get("EventType")
        if kind == _START:
            self._suspect = set(self.alarms)
        elif kind == _END:
            self.refreshed = True
            for key in self._suspect:
                self.alarms.pop(key, None)
            self._suspect = set()
        elif kind == _OVERFLOW:
            self.overflows += 1
        condition = values.get("ConditionId")
        if not _name(condition) or values.get("Retain") is None:
            return None
        key = (_name(condition), _name(values.get("BranchId")))
        alarm = Alarm(*key, values)
        self._suspect.discard(key)
        if values["Retain"]:
            self.alarms[key] = alarm
        else:
            self.alarms.pop(key, None)
        return alarm

    def ordered(self) -> list[Alarm]:
        """Return the alarms, what needs somebody first: not hidden, unacknowledged, active, severe, recent."""
        return sorted(
            self.alarms.values(),
            key=lambda it: (it.hidden, it.acknowledged, not it.active, -it.severity, -it.time.timestamp()),
        )

    def table(self, title: str, most: int | None = None) -> Table:
        """Return the list as it is shown, at most `most` rows of it."""
        shown = self.ordered()
        unseen = sum(not it.acknowledged for it in shown)
        caption = f"{len(shown)} alarms, {unseen} unacknowledged"
        if most is not None and len(shown) > most:
            caption += f"; {len(shown) - most} more than fit"
        if self.overflows:
            caption += f"; the server has lost events {self.overflows} times"
        table = Table(title=escape(title), caption=caption, expand=True, header_style="bold")
        for heading in _HEADINGS:
            table.add_column(heading, justify="right" if heading == "Sev" else "left", no_wrap=heading == "Time")
        for alarm in shown[:most]:
            table.add_row(*cells(alarm), style=style(alarm))
        return table


def _name(node: Any) -> str:
    return "" if not isinstance(node, ua.NodeId) or node.is_null() else node.to_string()


def cells(alarm: Alarm) -> tuple[str, ...]:
    """Return a row of the list; times are those of this machine's zone."""
    comment, who = alarm.text("Comment"), alarm.text("ClientUserId")
    said = f"{comment} ({who})" if comment and who else comment
    time = alarm.time.replace(tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    words = (alarm.state, alarm.text("SourceName"), alarm.text("ConditionName"), alarm.text("Message"), said)
    return (time, str(alarm.severity), *(escape(it) for it in words))


def style(alarm: Alarm) -> str:
    """Return rich's style of a row: its colour is the severity's; what nobody needs to look at is dim."""
    if alarm.hidden or (alarm.acknowledged and not alarm.active):
        return "dim"
    colour = next(found for least, found in _SEVERITIES if alarm.severity >= least)
    return colour if not alarm.acknowledged else colour.replace("bold ", "").replace("white on red", "red")
