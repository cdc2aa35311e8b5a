"""Events of the OPC UA server: what they are, who may see them, and which filters let them pass."""
