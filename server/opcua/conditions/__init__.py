"""Alarms & Conditions as OPC UA shows them (OPC 10000-9): nodes, events, methods, refresh."""
