"""Diagnostics of server, sessions and subscriptions (OPC 10000-5 6.3.3 to 6.3.5), computed when they are read."""
