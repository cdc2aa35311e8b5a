"""Aggregates of OPC 10000-13: samples in, one value with its StatusCode an interval out."""

from server.history.aggregates.data import Configuration, Data, Processed
from server.history.aggregates.interpolation import at_times
from server.history.aggregates.intervals import Intervals, split
from server.history.aggregates.table import AGGREGATES, Aggregate, Kind, compute

__all__ = [
    "AGGREGATES", "Aggregate", "Configuration", "Data", "Intervals", "Kind", "Processed",
    "at_times", "compute", "split",
]  # fmt: skip
