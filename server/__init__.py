"""The information server: the store, commands, the emergency stop, the OPC UA server, `python -m server`."""

VERSION = "0.1.0"
