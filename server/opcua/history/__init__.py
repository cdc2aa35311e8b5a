"""Historical Access: HistoryRead, HistoryUpdate, and the nodes that say what there is (OPC 10000-11)."""
