"""The words of the page in English and German; texts of the plant are the plant file's own."""

from collections.abc import Mapping
from dataclasses import dataclass

from address_space.translation import Translation
from gateways.web.pages.describe import words
from gateways.web.pages.german import PHRASES

ENGLISH: Mapping[str, str] = {
    "overview": "Overview", "scene": "3D view", "trends": "Trends", "alarms": "Alarms", "gallery": "Snapshots",
    "tree": "Tree", "audit": "Audit trail", "certificates": "Certificates", "login": "Log in", "logout": "Log out",
    "skip": "Skip to content", "menu": "Menu", "theme": "Light or dark", "language": "Deutsch",
    "user": "User", "password": "Password", "login_failed": "User or password is wrong.",
    "login_throttled": "Too many attempts. Wait a minute.", "login_unreachable": "The server does not answer.",
    "welcome": "Log in to see the plant", "safety": "An information system, no safety function: the emergency stop "
    "that protects people is wired.",
    "live": "live", "connecting": "connecting", "lost": "NO CONNECTION", "lost_since": "No connection since {0}: "
    "what is shown is old.", "no_value": "no value", "ago": "{0} ago", "old": "old",
    "no_alarms": "No alarms", "standing": "{0} standing", "unacknowledged": "{0} unacknowledged",
    "estop": "Emergency stop", "estop_title": "Stop in an emergency", "estop_what": "What to stop",
    "estop_all": "the whole plant", "estop_reason": "Reason", "estop_default": "Stopped from the operator page",
    "estop_confirm": "Stop now", "cancel": "Cancel", "close": "Close", "estop_done": "{0} is stopped.",
    "stopped_short": "STOPPED", "latched": "Emergency stop is latched: {0}", "latch_cause": "{0} – {1}, {2}, {3}",
    "reset": "Reset …", "reset_title": "Release the emergency stop of {0}",
    "reset_first": "First cause: {0}. Make sure that it is gone and that nobody is in danger.",
    "reset_ask": "Ask for release", "reset_sure": "The server agrees. Release {0} now? It stays stopped until it is "
    "started.", "reset_confirm": "Release now", "reset_done": "{0} is released.",
    "mimic_label": "Single-line diagram of {name}", "open_machine": "{name}: open",
    "variable": "Variable", "value": "Value", "range": "Range", "quality": "Quality", "time": "Time",
    "source_time": "Source time", "commands": "Commands", "setpoints": "Set-points", "measured": "Measured values",
    "nameplate": "Nameplate", "write": "Write", "done": "Done", "not_allowed": "Needs the role {0}",
    "run_command": "Run {0}?", "more": "More", "server": "Server", "machines": "Machines", "machine": "Machine",
    "conditions": "Alarms",
    "trend_of": "Trend", "hour": "Hour", "day": "Day", "week": "Week", "add_variable": "Add a variable",
    "remove": "Remove {0}",
    "zoom_hint": "Wheel or pinch to zoom, drag to move, double-click to go back. Keyboard: + and −, "
    "arrows.", "no_history": "The server keeps no history.", "as_table": "As a table", "mean": "mean", "least":
    "least", "most": "most", "from": "from", "to": "to", "follow": "Follow", "too_many": "At most {0} at a time.",
    "priority": "Priority", "state": "State", "source": "Source", "alarm": "Alarm", "message": "Message",
    "actions": "Actions", "acknowledge": "Acknowledge", "confirm": "Confirm", "comment": "Comment",
    "shelve": "Shelve", "unshelve": "Unshelve", "one_shot": "until it is over", "minutes": "{0} min",
    "hours": "{0} h", "active": "active", "inactive": "over", "unacked": "unacknowledged",
    "unconfirmed": "unconfirmed", "shelved": "shelved", "suppressed": "suppressed", "disabled": "disabled",
    "earlier": "earlier", "out_of_service": "out of service",
    "alarm_keys": "Keys: ↑ ↓ choose, A acknowledge, C confirm, M comment, S shelve, O more.",
    "remark": "Comment (optional)", "suppress": "Suppress",
    "suppress_about": "It is not shown among what needs attention until it is unsuppressed.",
    "unsuppress": "Unsuppress", "remove_from_service": "Take out of service", "remove_from_service_about": "For "
    "maintenance: it is not shown among what needs attention until it is back in service.",
    "place_in_service": "Back into service", "silence": "Silence", "enable": "Enable", "disable": "Disable",
    "disable_about": "It is not evaluated any more and raises nothing until it is enabled.",
    "limits": "Change limits", "high_high": "High high", "high": "High", "low": "Low", "low_low": "Low low",
    "of_plant_file": "Plant file: {0}", "report_false_alarm": "Report a false alarm",
    "report_false_alarm_about": "Its pictures are kept for training.",
    "show_all": "All conditions", "only_current": "Current only", "ack_all": "Acknowledge what is shown",
    "nothing_standing": "Nothing needs your attention.", "since": "since",
    "no_snapshots": "No snapshots yet: a vision alarm takes one.", "boxes": "with boxes", "clean": "clean",
    "confidence": "Confidence", "model": "Model", "camera": "Camera", "rule": "Rule", "latency": "Latency",
    "search": "Search", "attributes": "Attributes", "references": "References", "choose_node": "Choose a node.",
    "nothing_found": "Nothing found.", "more_found": "There is more: search for more of the name.",
    "who": "Who", "from_where": "From", "action": "Action", "arguments": "Arguments", "result": "Result",
    "kind": "Kind", "older": "Older", "filter": "Filter", "no_rights": "This page needs the role {0}.",
    "subject": "Subject", "application": "Application", "thumbprint": "Thumbprint (SHA-1)", "valid": "Valid until",
    "reason": "Why refused", "trust": "Trust", "trusted": "Trusted", "waiting": "Waiting for trust",
    "nobody_waits": "No application waits for trust.", "trust_sure": "Trust {0}? It may connect from then on.",
    "trust_revoke": "Distrust", "last_seen": "Last seen",
    "scene_label": "The plant in three dimensions; drag to turn, wheel to zoom, arrow keys to turn",
    "no_webgl": "This browser shows no 3D (WebGL is off); the list says the same.",
    "not_found": "There is no such page.", "not_found_about": "It may have been a machine of another plant file.",
    "no_data": "no data", "loading": "loading …", "failed": "It failed: {0}", "yes": "yes", "no": "no",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Texts:
    """The words of one language: `texts("ago", "3 s")`; `plant` has those of the plant, None: as its file has them."""

    language: str
    plant: Translation | None = None

    def __call__(self, key: str, /, *values: str, **named: str) -> str:
        """Return a text of the page; KeyError where there is none."""
        table = PHRASES if self.language == "de" else ENGLISH
        text = table[key]
        return text.format(*values, **named) if values or named else text

    def name(self, browse_name: str) -> str:
        """Return a browse name as words."""
        found = None if self.plant is None else self.plant.name(browse_name)
        return words(browse_name) if found is None else found

    def machine(self, browse_name: str) -> str:
        """Return a machine's name, which is a name of its own: as the plant file has it, or translates it."""
        found = None if self.plant is None else self.plant.name(browse_name)
        return browse_name if found is None else found

    def state(self, name: str) -> str:
        """Return the name of a state or another value of an enumeration as words."""
        return self.name(name)

    def of(self, text: str) -> str:
        """Return a text of the plant file in this language; as it is where there is no translation."""
        found = None if self.plant is None else self.plant.text(text)
        return text if found is None else found


def table(language: str) -> Mapping[str, str]:
    """Return all words of a language, for the browser's scripts."""
    return PHRASES if language == "de" else ENGLISH
