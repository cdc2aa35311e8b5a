"""Subscriptions and monitored items in columns (OPC 10000-4 5.12, 5.13): no Python per item when values change."""
