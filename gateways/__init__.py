"""What mirrors the tree to other protocols: one folder a protocol, none of which knows another."""
