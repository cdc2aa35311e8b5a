"""Conditions: evaluated on the journal, kept over restarts, and what operators may do with them (OPC 10000-9)."""

from server.alarms.engine import Alarms
from server.alarms.ports import AlarmPort, Snapshot

__all__ = ["AlarmPort", "Alarms", "Snapshot"]
