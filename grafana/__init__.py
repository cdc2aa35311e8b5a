"""Grafana: dashboards, alert rules and data sources made from the plant's model, and what brings them there."""
